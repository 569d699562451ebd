-- moontorch: deep learning scripted in Lua.
--
--     local torch = require "moontorch"
--
-- The table returned here is `torch`. Loading it must take about a millisecond, so it holds
-- only what must be there at once: ops are looked up in the binding's table on first use, and
-- every sub-module or function written in Lua is loaded when its name is first asked for. A name
-- that does not exist raises and says which one is near.

local core = require "moontorch.core"

-- "@/usr/share/lua/5.1/moontorch/": frames whose source begins so are the library's own, never
-- "the user's line" of an error.
local root = debug.getinfo(1, "S").source:match("^@?(.*)init%.lua$") or "?"
core.set_library_root(root)
core.set_printer(function(x) return require("moontorch.print").tostring(x) end)
for _, name in ipairs {"allclose", "equal", "is_same_size", "isclose"} do
  core.set_method(name, function(...) return require("moontorch.compare")[name](...) end)
end

---@class torch
local torch = {}

-- Sub-modules, by the name under which they are required.
local modules = {
  autograd = "moontorch.autograd",
  cuda = "moontorch.cuda",
  data = "moontorch.data",
  linalg = "moontorch.linalg",
  nn = "moontorch.nn",
  optim = "moontorch.optim",
  vision = "moontorch.vision",
}

-- Functions written in Lua: name -> {module, key in it}.
local functions = {
  allclose = {"moontorch.compare", "allclose"},
  class = {"moontorch.class", "class"},
  equal = {"moontorch.compare", "equal"},
  finfo = {"moontorch.limits", "finfo"},
  get_printoptions = {"moontorch.print", "get_options"},
  iinfo = {"moontorch.limits", "iinfo"},
  isTypeOf = {"moontorch.class", "is_instance"},
  is_same_size = {"moontorch.compare", "is_same_size"},
  isclose = {"moontorch.compare", "isclose"},
  load = {"moontorch.serialize", "load"},
  progress = {"moontorch.progress", "Progress"},
  repr = {"moontorch.repr", "repr"},
  save = {"moontorch.serialize", "save"},
  set_printoptions = {"moontorch.print", "set_options"},
  typename = {"moontorch.types", "typename"},
}
for _, name in ipairs {
  "BFloat16Tensor", "BoolTensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor",
  "HalfTensor", "IntTensor", "LongTensor", "ShortTensor", "Tensor",
} do
  functions[name] = {"moontorch.types", name}
end

-- Methods that are no ops and are functions of torch, too.
local methods = {}
for _, name in ipairs {
  "detach", "is_complex", "is_floating_point", "is_signed", "numel",
} do
  methods[name] = true
end

-- Names of the binding that are public as they are.
local public = {
  "Generator", "Size", "as_tensor", "device", "enable_grad", "get_default_dtype",
  "get_num_threads", "inference_mode", "initial_seed", "is_grad_enabled", "is_inference_mode",
  "is_tensor", "keep", "manual_seed", "memory_stats", "newaxis", "no_grad",
  "reset_peak_memory_stats", "scope", "seed", "set_default_dtype", "set_grad_enabled",
  "set_num_threads", "tensor", "get_rng_state", "set_rng_state",
}
local is_public = {}
for _, name in ipairs(public) do is_public[name] = true end

for name, dtype in pairs(core.dtypes) do torch[name] = dtype end
for alias, name in pairs {
  bfloat = "bfloat16", byte = "uint8", char = "int8", double = "float64", float = "float32",
  half = "float16", int = "int32", long = "int64", short = "int16",
} do
  torch[alias] = core.dtypes[name]
end
torch.version = core.version()

-- The in-place ops of the table ("copy_", "sgd_step_") are methods or the library's own.
local function load_op(name)
  local op = core.ops[name]
  if op == nil or tostring(name):sub(-1) == "_" then return nil end
  local info = core.op_info(name)
  if info.functional or info.linalg or info.method_only then return nil end
  return op
end

-- All names that torch has, for suggestions.
local function all_names()
  local names = {}
  for name in pairs(torch) do names[#names + 1] = name end
  for name in pairs(modules) do names[#names + 1] = name end
  for name in pairs(functions) do names[#names + 1] = name end
  for name in pairs(methods) do names[#names + 1] = name end
  for _, name in ipairs(public) do names[#names + 1] = name end
  for name in pairs(core.ops) do
    if load_op(name) then names[#names + 1] = name end
  end
  return names
end

local function unknown(name)
  local fail = require "moontorch.fail"
  if type(name) ~= "string" then fail("torch has no field %s", tostring(name)) end
  local info = (core.ops[name] or core.methods[name]) and core.op_info(name)
  if info and info.functional then
    fail("torch has no '%s': it is torch.nn.functional.%s", name, name)
  elseif info and info.linalg then
    fail("torch has no '%s': it is torch.linalg.%s", name, name)
  elseif info then
    fail("torch has no '%s': it is a method, x:%s(...)", name, name)
  end
  fail("torch has no '%s'%s", name, require("moontorch.suggest").suggestion(name, all_names()))
end

setmetatable(torch, {
  __index = function(self, name)
    local value = load_op(name)
    if value == nil and is_public[name] then value = core[name] end
    if value == nil and methods[name] then value = core.methods[name] end
    if value == nil and functions[name] then
      value = require(functions[name][1])[functions[name][2]]
    end
    if value == nil and modules[name] then value = require(modules[name]) end
    if value == nil then return unknown(name) end
    rawset(self, name, value)
    return value
  end,
})

return torch
