-- progress.lua: a progress bar on a terminal; elsewhere, plain lines now and then.
--
--     local bar = torch.progress(loader:len(), "epoch 1")
--     for i, x, y in loader:iter() do ... bar:update(i, {loss = loss:item()}) end
--     bar:finish()

local class = require "moontorch.class"
local core = require "moontorch.core"

---@class moontorch.Progress
local Progress = class.class("Progress")

local redraw_after = 0.1 -- seconds between two drawings on a terminal
local line_after = 10 -- seconds between two lines elsewhere

--- How long something takes, as "1:05" or "2:01:05".
---@param seconds number
---@return string
local function clock(seconds)
  seconds = math.floor(seconds + 0.5)
  local hours, minutes = math.floor(seconds / 3600), math.floor(seconds / 60) % 60
  if hours > 0 then return ("%d:%02d:%02d"):format(hours, minutes, seconds % 60) end
  return ("%d:%02d"):format(minutes, seconds % 60)
end

--- A bar over `total` steps. options: stream (default io.stderr), terminal (default: whether the
--- stream is one), width in columns, unit ("it").
---@param total integer
---@param label? string
---@param options? table
function Progress:__init(total, label, options)
  options = options or {}
  self.total, self.label, self.done = total, label or "", 0
  self.stream, self.unit = options.stream or io.stderr, options.unit or "it"
  self.terminal = options.terminal
  if self.terminal == nil then self.terminal = options.stream == nil and core.isatty(2) end
  self.width = options.width or core.terminal_width() or 80
  self.started = core.now()
  self.drawn, self.fields, self.drawn_length = self.started, {}, 0
end

-- "loss 0.0712  acc 97.6": fields sorted by name
local function fields_text(fields)
  local names, parts = {}, {}
  for name in pairs(fields) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do
    local value = fields[name]
    if type(value) == "number" then value = ("%.4g"):format(value) end
    parts[i] = ("%s %s"):format(name, tostring(value))
  end
  return table.concat(parts, "  ")
end

function Progress:text()
  local passed = core.now() - self.started
  local rate = passed > 0 and self.done / passed or 0
  local left = rate > 0 and clock((self.total - self.done) / rate) or "?"
  local head = self.label ~= "" and self.label .. "  " or ""
  local tail = ("%d/%d  %.4g %s/s  %s<%s"):format(self.done, self.total, rate, self.unit,
    clock(passed), left)
  local fields = fields_text(self.fields)
  if fields ~= "" then tail = tail .. "  " .. fields end
  if not self.terminal then return head .. tail end
  local room = self.width - #head - #tail - 4
  if room < 4 then return (head .. tail):sub(1, self.width - 1) end
  room = math.min(room, 40)
  local share = self.total > 0 and math.min(self.done / self.total, 1) or 1
  local full = math.floor(share * room)
  return ("%s[%s%s]  %s"):format(head, ("#"):rep(full), ("."):rep(room - full), tail)
end

local function draw(self)
  local text = self:text()
  if self.terminal then
    local rest = math.max(0, self.drawn_length - #text)
    self.stream:write("\r", text, (" "):rep(rest))
    self.drawn_length = #text
  else
    self.stream:write(text, "\n")
  end
  self.stream:flush()
end

--- Tells how many steps are done, and values to show. Cheap enough for every step.
---@param done integer
---@param fields? table<string, number|string>
function Progress:update(done, fields)
  self.done = done
  if fields then self.fields = fields end
  local now = core.now()
  if now - self.drawn >= (self.terminal and redraw_after or line_after) then
    self.drawn = now
    draw(self)
  end
end

--- Takes the bar away from a terminal, so that the caller can print the result in its place.
function Progress:finish()
  if self.terminal and self.drawn_length > 0 then
    self.stream:write("\r", (" "):rep(self.drawn_length), "\r")
    self.stream:flush()
    self.drawn_length = 0
  end
end

return {Progress = Progress, clock = clock}
