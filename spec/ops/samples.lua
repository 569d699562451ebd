-- samples.lua: reads the `.samples` text of an op (spec/ops/README.md) into argument lists that
-- can be made real in any dtype and memory layout.
--
-- A leaf is a tensor to be: {leaf, kind, sizes, data}. Its data are numbers in logical row-major
-- order, the same on every machine: they come from a small generator seeded by the op's name and
-- the sample's number, use no libm, and have four decimals. The golden values were computed from
-- the very same numbers.
local M = {}

local leaf_mt = {}
local dtype_mt = {}
M.leaf_mt, M.dtype_mt = leaf_mt, dtype_mt

function M.is_leaf(x) return getmetatable(x) == leaf_mt end

local function product(sizes)
  local n = 1
  for _, s in ipairs(sizes) do n = n * s end
  return n
end
M.product = product

-- ---- numbers ----------------------------------------------------------------

-- Park and Miller's generator: exact in doubles.
local function generator(text)
  local state = 1
  for k = 1, #text do state = (state * 31 + text:byte(k)) % 2147483647 end
  if state == 0 then state = 1 end
  local function uniform()
    state = state * 16807 % 2147483647
    return state / 2147483647
  end
  for _ = 1, 8 do uniform() end
  return uniform
end

local function round4(x) return math.floor(x * 1e4 + 0.5) / 1e4 end

-- One draw is tried again until it keeps its distance to those before; a crowded range gives up
-- on distance after some time rather than hang.
local function distinct(draw, taken, gap)
  local x
  for _ = 1, 200 do
    x = draw()
    local ok = true
    for _, y in ipairs(taken) do
      if math.abs(x - y) < gap then
        ok = false
        break
      end
    end
    if ok then break end
  end
  taken[#taken + 1] = x
  return x
end

-- ---- leaves -----------------------------------------------------------------

local function new_leaf(kind, sizes, data, layout)
  return setmetatable({ kind = kind, sizes = sizes, data = data, layout = layout or false,
    base = false }, leaf_mt)
end

local function sizes_of(...)
  local first = ...
  if type(first) == "table" then return first end
  return { ... }
end

-- What a sample may do to a leaf: x:add(1), x:mul(-2), x:neg(), x:abs().
local function each(fn)
  return function(x, c)
    local data = {}
    for k, v in ipairs(x.data) do data[k] = round4(fn(v, c)) end
    local y = new_leaf(x.kind, x.sizes, data, x.layout)
    y.base = x.base and leaf_mt.__index.map(x.base, fn, c)
    return y
  end
end
leaf_mt.__index = {
  add = each(function(v, c) return v + c end),
  mul = each(function(v, c) return v * c end),
  div = each(function(v, c) return v / c end),
  log = each(math.log), -- rounded to four decimals like every number here
  neg = each(function(v) return -v end),
  abs = each(math.abs),
  map = function(x, fn, c) return each(fn)(x, c) end,
}

-- The functions that a sample text may call.
local function environment(seed, torch_dtypes)
  local uniform = generator(seed)
  local all = {} -- f keeps its distance over the whole sample: no ties between operands

  local function fill(kind, sizes, draw)
    local data = {}
    for k = 1, product(sizes) do data[k] = draw() end
    return new_leaf(kind, sizes, data)
  end

  local env = { select = select, math = math, torch = torch_dtypes, inf = math.huge,
    huge = math.huge, nan = 0 / 0, pi = math.pi }

  function env.f(...)
    return fill("float", sizes_of(...), function()
      return distinct(function()
        local sum = -6
        for _ = 1, 12 do sum = sum + uniform() end -- about N(0,1)
        sum = round4(sum)
        return math.abs(sum) < 0.1 and round4(sum < 0 and sum - 0.1 or sum + 0.1) or sum
      end, all, 1e-2)
    end)
  end

  local function range(lo, hi, gap, hole)
    return function(...)
      local taken = {}
      return fill("float", sizes_of(...), function()
        return distinct(function()
          local x = round4(lo + (hi - lo) * uniform())
          if math.abs(x) < hole then x = x < 0 and x - hole or x + hole end
          return x
        end, taken, gap)
      end)
    end
  end
  env.pos = range(0.5, 2, 5e-3, 0)
  env.unit = range(-0.9 + 0.05, 0.9 - 0.05, 5e-3, 0.05)
  env.prob = range(0.1, 0.9, 2e-3, 0)

  function env.i(...)
    return fill("int", sizes_of(...), function()
      local x = math.floor(uniform() * 10) - 5
      return x >= 0 and x + 1 or x
    end)
  end
  function env.idx(n, ...)
    return fill("index", sizes_of(...), function() return math.floor(uniform() * n) + 1 end)
  end
  function env.b(...)
    return fill("bool", sizes_of(...), function() return uniform() < 0.5 end)
  end

  -- t(x): the last two dimensions swapped, so that the tensor is not contiguous
  function env.t(x)
    local n = #x.sizes
    local rows, cols = x.sizes[n - 1], x.sizes[n]
    local sizes, data = {}, {}
    for k = 1, n do sizes[k] = x.sizes[k] end
    sizes[n - 1], sizes[n] = cols, rows
    local outer = rows * cols > 0 and #x.data / (rows * cols) or 0
    for o = 0, outer - 1 do
      for c = 0, cols - 1 do
        for r = 0, rows - 1 do
          data[#data + 1] = x.data[o * rows * cols + r * cols + c + 1]
        end
      end
    end
    return new_leaf(x.kind, sizes, data, "transposed")
  end

  -- e(x, sizes...): expanded, so that elements share memory
  function env.e(x, ...)
    local sizes = sizes_of(...)
    local data, lead = {}, #sizes - #x.sizes
    local stride, step = {}, 1
    for k = #x.sizes, 1, -1 do
      stride[k + lead] = x.sizes[k] == 1 and 0 or step
      step = step * x.sizes[k]
    end
    local full = {}
    for k, s in ipairs(sizes) do
      full[k] = s == -1 and x.sizes[k - lead] or s
      stride[k] = stride[k] or 0
    end
    local function walk(d, at)
      if d > #full then
        data[#data + 1] = x.data[at + 1]
        return
      end
      for k = 0, full[d] - 1 do walk(d + 1, at + k * stride[d]) end
    end
    walk(1, 0)
    local leaf = new_leaf(x.kind, full, data, "expanded")
    leaf.base = x
    return leaf
  end

  return env
end

-- Splits "{...}, {...}" at the outer commas, so that each sample has a seed of its own and adding
-- one leaves the others as they are.
local function split(text)
  local parts, depth, start, quote = {}, 0, 1, nil
  for k = 1, #text do
    local c = text:sub(k, k)
    if quote then
      if c == quote and text:sub(k - 1, k - 1) ~= "\\" then quote = nil end
    elseif c == '"' or c == "'" then
      quote = c
    elseif c == "{" or c == "(" or c == "[" then
      depth = depth + 1
    elseif c == "}" or c == ")" or c == "]" then
      depth = depth - 1
    elseif c == "," and depth == 0 then
      parts[#parts + 1] = text:sub(start, k - 1)
      start = k + 1
    end
  end
  local last = text:sub(start)
  if last:find("%S") then parts[#parts + 1] = last end
  for k, s in ipairs(parts) do parts[k] = s:match("^%s*(.-)%s*$") end
  return parts
end

-- Stands for torch in a sample text: torch.float64 is a name until a sample is made real.
local dtypes = setmetatable({}, { __index = function(_, name)
  return setmetatable({ name = name }, dtype_mt)
end })

--- The samples of an op: a list of {text=, args=, n=}; args[1..n] may have gaps (nil).
function M.parse(name, text)
  local samples = {}
  for _, part in ipairs(split(text or "")) do
    local body = part:match("^{(.*)}$")
    if not body then error(("%s: a sample is a table of arguments: %s"):format(name, part), 0) end
    local chunk, err = loadstring("return (function(...) return select('#', ...), {...} end)(" .. body .. ")",
      "=" .. name .. " sample " .. part)
    if not chunk then error(err, 0) end
    -- the seed hangs on the sample's own text, so that a new sample leaves the others alone
    setfenv(chunk, environment(name .. "\0" .. part, dtypes))
    local n, args = chunk()
    samples[#samples + 1] = { text = part, args = args, n = n }
  end
  return samples
end

-- ---- making samples real ----------------------------------------------------

-- Numbers of a float leaf for a dtype that has no fractions: small, and not zero.
local function whole(data, kind)
  local out = {}
  for k, x in ipairs(data) do
    if kind == "bool" then
      out[k] = x > 0
    else
      local v = math.floor(x * 3 + 0.5)
      if v == 0 then v = 1 end
      out[k] = kind == "unsigned" and math.abs(v) or v
    end
  end
  return out
end

local function to_list(torch, leaf, dtype)
  if #leaf.data == 0 then
    local sizes = {}
    for k, s in ipairs(leaf.sizes) do sizes[k] = s end
    return torch.zeros(sizes, { dtype = dtype })
  end
  local data = leaf.data
  local name = tostring(dtype):match("%w+$")
  if leaf.kind == "float" and not name:find("float") then
    data = whole(data, name == "bool" and "bool" or name == "uint8" and "unsigned" or "signed")
  elseif leaf.kind == "int" and (name == "uint8" or name == "bool") then
    data = whole(data, name == "bool" and "bool" or "unsigned")
  end
  return torch.tensor(data, { dtype = dtype }):reshape(leaf.sizes)
end

local function dtype_of(torch, leaf, options)
  if leaf.kind == "float" then return options.dtype or torch.float64 end
  if leaf.kind == "bool" then return torch.bool end
  if leaf.kind == "int" then return options.int_dtype or torch.int64 end
  return torch.int64
end

local function lay_out(torch, leaf, x, layout)
  local n = x.ndim
  if layout == "transposed" and n >= 2 then -- memory in the opposite order of dimensions
    local order = {}
    for d = 1, n do order[d] = n + 1 - d end
    return x:permute(order):contiguous():permute(order)
  elseif layout == "offset" and n >= 1 then -- in the middle of a larger tensor, with gaps
    local sizes = {}
    for d = 1, n do sizes[d] = leaf.sizes[d] end
    sizes[n] = sizes[n] * 2 + 3
    local big = torch.zeros(sizes, { dtype = x.dtype })
    local slots = {}
    for d = 1, n - 1 do slots[d] = {} end
    slots[n] = { 3, 2 * leaf.sizes[n] + 2, 2 }
    big[slots] = x
    return big[slots]
  end
  return x
end

--- A leaf as a tensor. options: dtype, int_dtype, layout ("transposed", "offset", "plain" or nil
--- for what the sample says), requires_grad.
function M.tensor(torch, leaf, options)
  local dtype = dtype_of(torch, leaf, options)
  local layout = options.layout or leaf.layout
  local x
  if options.no_ties and leaf.layout == "expanded" and leaf.kind == "float" then
    -- what shares memory has ties, and those are kinks for max: for derivatives they are moved apart
    local apart = {}
    for k, v in ipairs(leaf.data) do apart[k] = v + 0.011 * k end
    x = to_list(torch, new_leaf(leaf.kind, leaf.sizes, apart), dtype)
  elseif layout == "expanded" and leaf.base then
    x = to_list(torch, leaf.base, dtype):expand(leaf.sizes)
    if options.requires_grad and leaf.kind == "float" then x = x:clone() end
  else
    x = to_list(torch, leaf, dtype)
    if layout == "transposed" and leaf.layout == "transposed" then
      x = x:transpose(-1, -2):contiguous():transpose(-1, -2)
    else
      x = lay_out(torch, leaf, x, layout)
    end
  end
  if options.requires_grad and leaf.kind == "float" then
    x = x:detach()
    x.requires_grad = true
  end
  return x
end

--- The arguments of a sample. Returns the list, its length and the tensors made, in order.
function M.args(torch, sample, options)
  local tensors = {}
  local function make(v)
    if M.is_leaf(v) then
      local x = M.tensor(torch, v, options)
      tensors[#tensors + 1] = x
      return x
    elseif getmetatable(v) == dtype_mt then
      return torch[v.name]
    elseif type(v) == "table" then
      local copy, keys = {}, {}
      for k in pairs(v) do keys[#keys + 1] = k end
      table.sort(keys, function(a, b)
        if type(a) == type(b) then return a < b end
        return type(a) == "number"
      end)
      for _, k in ipairs(keys) do copy[k] = make(v[k]) end
      return copy
    end
    return v
  end
  local out = {}
  for k = 1, sample.n do out[k] = make(sample.args[k]) end
  return out, sample.n, tensors
end

--- The leaves of a sample, in the order in which M.args makes tensors of them.
function M.leaves(sample)
  local list = {}
  local function walk(v)
    if M.is_leaf(v) then
      list[#list + 1] = v
    elseif type(v) == "table" and getmetatable(v) ~= dtype_mt then
      local keys = {}
      for k in pairs(v) do keys[#keys + 1] = k end
      table.sort(keys, function(a, b)
        if type(a) == type(b) then return a < b end
        return type(a) == "number"
      end)
      for _, k in ipairs(keys) do walk(v[k]) end
    end
  end
  for k = 1, sample.n do walk(sample.args[k]) end
  return list
end

-- ---- signatures -------------------------------------------------------------

--- Parameters of a signature: a list of {name, type, list, optional, keyword, written, star,
--- default}, and the results as text.
function M.signature(sig)
  local inside, results = sig:match("^[%w_%.]+(%b())%s*%->%s*(.-)%s*$")
  local params, depth, start, keyword = {}, 0, 1, false
  inside = inside:sub(2, -2) .. ","
  for k = 1, #inside do
    local c = inside:sub(k, k)
    if c:find("[%(%{%[]") then depth = depth + 1 end
    if c:find("[%)%}%]]") then depth = depth - 1 end
    if c == "," and depth == 0 then
      local s = inside:sub(start, k - 1):match("^%s*(.-)%s*$")
      start = k + 1
      if s == "*" then
        keyword = true
      elseif s ~= "" then
        local base, rest = s:match("^(%a+%d?)(.*)$")
        local choices = rest:match("^%b()")
        if choices then rest = rest:sub(#choices + 1) end
        local marks, name, default = rest:match("^([%?%*!%[%]]*)%s+([%w_]+)%s*=?%s*(.-)$")
        params[#params + 1] = {
          type = base, choices = choices, name = name, keyword = keyword,
          list = marks:find("[", 1, true) ~= nil, written = marks:find("!", 1, true) ~= nil,
          star = marks:find("*", 1, true) ~= nil,
          optional = marks:find("?", 1, true) ~= nil or default == "None",
          default = default ~= "" and default or nil,
        }
      end
    end
  end
  return params, results
end

return M
