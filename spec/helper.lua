-- helper.lua: what the specs share. busted loads it once before the first spec, which also loads
-- the library once, whatever busted does to package.loaded between files.
local torch = require "moontorch"

-- All of the library is loaded here: what a spec file is the first to load, busted takes away after
-- it, and the next file would get classes of its own.
local list = assert(io.popen "cd lua && find moontorch -name '*.lua' ! -name cli.lua")
for path in list:lines() do require((path:gsub("/init%.lua$", ""):gsub("%.lua$", ""):gsub("/", "."))) end
list:close()

local H = { torch = torch }

local function sizes_text(x) return tostring(x.shape) end

-- A tensor's elements as a flat list of Lua numbers (bool as 0 and 1), row-major.
function H.flat(x)
  local out = {}
  local function walk(v)
    if type(v) == "table" then
      for k = 1, #v do walk(v[k]) end
    elseif type(v) == "boolean" then
      out[#out + 1] = v and 1 or 0
    elseif type(v) == "cdata" then
      out[#out + 1] = tonumber(v)
    else
      out[#out + 1] = v
    end
  end
  walk(x:tolist())
  return out
end

-- dtype as a name, without "torch."
function H.dtype(x)
  return (tostring(torch.is_tensor(x) and x.dtype or x):match("[%w]+$"))
end

local function near(a, b, rtol, atol)
  if a ~= a or b ~= b then return a ~= a and b ~= b end
  if a == b then return true end
  if math.abs(a) == math.huge or math.abs(b) == math.huge then return false end
  return math.abs(a - b) <= atol + rtol * math.abs(b)
end
H.near = near

-- Compares with a list of numbers and sizes; nil, or what is wrong.
function H.difference(x, sizes, values, rtol, atol)
  local got = {}
  for d = 1, x.ndim do got[d] = x.shape[d] end
  if table.concat(got, ",") ~= table.concat(sizes, ",") then
    return ("sizes {%s}, wanted {%s}"):format(table.concat(got, ", "), table.concat(sizes, ", "))
  end
  local flat = H.flat(x)
  if #flat ~= #values then return ("%d elements, wanted %d"):format(#flat, #values) end
  for k = 1, #values do
    if not near(flat[k], values[k], rtol, atol) then
      return ("element %d is %.17g, wanted %.17g"):format(k, flat[k], values[k])
    end
  end
end

--- Fails unless the tensors have the same sizes and near elements. options: rtol, atol, what.
function H.close(actual, expected, options)
  options = options or {}
  local sizes = {}
  if torch.is_tensor(expected) then
    for d = 1, expected.ndim do sizes[d] = expected.shape[d] end
  else -- nested table or number
    expected = torch.tensor(expected, { dtype = torch.float64 })
    for d = 1, expected.ndim do sizes[d] = expected.shape[d] end
  end
  local wrong = H.difference(actual, sizes, H.flat(expected), options.rtol or 1e-5, options.atol or 1e-7)
  if wrong then error((options.what and options.what .. ": " or "") .. wrong, 2) end
end

--- Fails unless same sizes, dtype and bits.
function H.same(actual, expected, what)
  what = what and what .. ": " or ""
  if H.dtype(actual) ~= H.dtype(expected) then
    error(("%sdtype %s, wanted %s"):format(what, H.dtype(actual), H.dtype(expected)), 2)
  end
  if sizes_text(actual) ~= sizes_text(expected) then
    error(("%ssizes %s, wanted %s"):format(what, sizes_text(actual), sizes_text(expected)), 2)
  end
  local a, b = H.flat(actual), H.flat(expected)
  for k = 1, #b do
    if not near(a[k], b[k], 0, 0) then
      error(("%selement %d is %.17g, wanted %.17g"):format(what, k, a[k], b[k]), 2)
    end
  end
end

--- Fails unless fn raises and the message has all of the texts. Returns the message.
function H.raises(fn, ...)
  local ok, message = pcall(fn)
  if ok then error("nothing was raised", 2) end
  message = tostring(message)
  for _, text in ipairs { ... } do
    if not message:find(text, 1, true) then
      error(("the message has no '%s': %s"):format(text, message), 2)
    end
  end
  return message
end

-- Collects until everything that can go has gone: a finalizer may free what holds another.
function H.collect()
  for _ = 1, 3 do collectgarbage() end
end

--- Fails when fn leaves tensors, nodes or bytes alive.
function H.leaves_nothing(fn)
  fn() -- what is made once stays
  H.collect()
  local before = torch.memory_stats()
  fn()
  H.collect()
  local after = torch.memory_stats()
  for _, key in ipairs { "tensors", "nodes", "live" } do
    if after[key] > before[key] then
      error(("%s: %s before, %s after"):format(key, before[key], after[key]), 2)
    end
  end
end

--- Runs bin/moontorch (or another command) and returns status, standard output, standard error.
function H.run(command)
  local base = os.tmpname()
  local out, err = base .. ".out", base .. ".err"
  local status = os.execute(("%s >%s 2>%s </dev/null"):format(command, out, err))
  local function take(path)
    local f = assert(io.open(path))
    local text = f:read("*a")
    f:close()
    os.remove(path)
    return text
  end
  local a, b = take(out), take(err)
  os.remove(base)
  if type(status) == "number" and status > 255 then status = math.floor(status / 256) end
  return status, a, b
end

--- Writes text to a new file and gives its path.
function H.file(text, suffix)
  local base = os.tmpname()
  local path = base .. (suffix or ".lua")
  local f = assert(io.open(path, "wb"))
  f:write(text)
  f:close()
  if path ~= base then os.remove(base) end
  return path
end

return H
