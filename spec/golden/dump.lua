-- dump.lua: writes the samples of the op table as JSON, for generate.py.
--
--   ./bin/moontorch spec/golden/dump.lua [op ...]
package.path = "./?.lua;" .. package.path
local core = require "moontorch.core"
local S = require "spec.ops.samples"
local exempt = require "spec.golden.exempt"

local function json(v)
  if v == nil then return "null" end
  if type(v) == "number" then
    if v ~= v then return "NaN" end
    if v == math.huge then return "Infinity" end
    if v == -math.huge then return "-Infinity" end
    return ("%.17g"):format(v)
  elseif type(v) == "boolean" then
    return tostring(v)
  elseif type(v) == "string" then
    return '"' .. v:gsub('[%c"\\]', function(c) return ("\\u%04x"):format(c:byte()) end) .. '"'
  end
  error("cannot write a " .. type(v))
end

local encode

local function list(values, n)
  local parts = {}
  for k = 1, n do parts[k] = encode(values[k]) end
  return "[" .. table.concat(parts, ",") .. "]"
end

local function object(t)
  local keys, parts = {}, {}
  for k in pairs(t) do keys[#keys + 1] = k end
  table.sort(keys)
  for _, k in ipairs(keys) do parts[#parts + 1] = json(k) .. ":" .. encode(t[k]) end
  return "{" .. table.concat(parts, ",") .. "}"
end

function encode(v)
  if S.is_leaf(v) then
    return ('{"leaf":%s,"sizes":%s,"data":%s}'):format(json(v.kind), list(v.sizes, #v.sizes),
      list(v.data, #v.data))
  elseif getmetatable(v) == S.dtype_mt then
    return '{"dtype":' .. json(v.name) .. "}"
  elseif type(v) == "table" then
    for k in pairs(v) do
      if type(k) == "string" then return '{"keywords":' .. object(v) .. "}" end
    end
    local n = 0
    for k in pairs(v) do n = math.max(n, k) end
    return '{"list":' .. list(v, n) .. "}"
  end
  return json(v)
end

local only
for _, name in ipairs(arg) do
  only = only or {}
  only[name] = true
end

for _, name in ipairs(core.op_list()) do
  local info = core.op_info(name)
  if info.samples and not info.hidden and not exempt[name] and (not only or only[name]) then
    local params, samples = {}, {}
    for k, p in ipairs((S.signature(info.signature))) do
      params[k] = ('{"name":%s,"type":%s,"list":%s,"star":%s,"keyword":%s,"default":%s}'):format(
        json(p.name), json(p.type), json(p.list), json(p.star), json(p.keyword), json(p.default))
    end
    for k, s in ipairs(S.parse(name, info.samples)) do
      samples[k] = ('{"text":%s,"args":%s}'):format(json(s.text), list(s.args, s.n))
    end
    print(('{"op":%s,"functional":%s,"linalg":%s,"signature":%s,"params":[%s],"samples":[%s]}'):format(
      json(name), json(info.functional or false), json(info.linalg or false), json(info.signature),
      table.concat(params, ","), table.concat(samples, ",")))
  end
end
