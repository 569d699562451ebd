-- gen.lua: reads the op table's signatures and writes the headers made from them.
--
--   luajit runtime/gen.lua SOURCE_DIR OUTPUT_DIR FILE.c ...
--
-- SOURCE_DIR is runtime/ops, the files are those in it. A family is a file <family>.c that defines
-- `mt__ops_<family>[] =`;
-- its rows are the MT_SIG("...") texts that follow, in order; `#include "x.def"` among them is
-- read at that place. Families are numbered in the order of their names, ops in the order of
-- their rows, and table.c walks them the same way (it compares the names at load, so that a
-- disagreement is seen at once). Grammar of a signature: see op.h.
--
-- Written, each only when its text changes, so that make rebuilds no more than it must:
--   moontorch_ops.h   enum MT_OPID_<name> and one typed inline function per op
--   mt_families.inc   MT_FAMILY(reduce) ...
--   mt_opnames.inc    MT_OPNAME("sum") ... in the order of ids
-- Works with Lua 5.1 to 5.4 and LuaJIT; needs no library.

local source_dir, output_dir = arg[1], arg[2]
if not source_dir or not output_dir then
  io.stderr:write("usage: luajit gen.lua SOURCE_DIR OUTPUT_DIR\n")
  os.exit(2)
end

local function fail(fmt, ...)
  io.stderr:write("gen.lua: ", string.format(fmt, ...), "\n")
  os.exit(1)
end

local function read_file(path)
  local f = io.open(path, "rb")
  if not f then return nil end
  local text = f:read("*a")
  f:close()
  return text
end

local function write_if_changed(path, text)
  if read_file(path) == text then return end
  local f, err = io.open(path, "wb")
  if not f then fail("%s", err) end
  f:write(text)
  f:close()
end

-- ---- reading C ----------------------------------------------------------

-- Blanks out comments, keeping strings and line numbers.
local function strip_comments(text)
  local out, i, n = {}, 1, #text
  while i <= n do
    local c = text:sub(i, i)
    local two = text:sub(i, i + 1)
    if two == "/*" then
      local _, e = text:find("*/", i + 2, true)
      e = e or n
      out[#out + 1] = " " .. text:sub(i, e):gsub("[^\n]", "")
      i = e + 1
    elseif two == "//" then
      local e = text:find("\n", i, true) or n + 1
      i = e
    elseif c == '"' or c == "'" then
      local e = i + 1
      while e <= n and text:sub(e, e) ~= c do
        e = e + (text:sub(e, e) == "\\" and 2 or 1)
      end
      out[#out + 1] = text:sub(i, e)
      i = e + 1
    else
      local e = text:find("[/\"']", i + 1) or n + 1
      out[#out + 1] = text:sub(i, e - 1)
      i = e
    end
  end
  return table.concat(out)
end

-- The text of the adjacent string literals that begin at i; the place after them.
local function literal(text, i, where)
  local parts = {}
  while true do
    i = text:match("^%s*()", i)
    if text:sub(i, i) ~= '"' then break end
    local e = i + 1
    while text:sub(e, e) ~= '"' do
      if e > #text then fail("%s: unfinished string in MT_SIG", where) end
      e = e + (text:sub(e, e) == "\\" and 2 or 1)
    end
    parts[#parts + 1] = text:sub(i + 1, e - 1)
    i = e + 1
  end
  if #parts == 0 then fail("%s: MT_SIG wants string literals", where) end
  return table.concat(parts), i
end

-- Appends the signatures of `text`, in order, following #include "x.def".
local function collect(list, text, where)
  local i = 1
  while true do
    local sig_at, sig_end = text:find("%f[%w_]MT_SIG%s*%(", i)
    local inc_at, inc_end, inc = text:find('#%s*include%s+"([^"\n]+%.def)"', i)
    if inc_at and (not sig_at or inc_at < sig_at) then
      local path = source_dir .. "/" .. inc
      local def = read_file(path) or fail("%s includes %s, which is not there", where, inc)
      collect(list, strip_comments(def), inc)
      i = inc_end + 1
    elseif sig_at then
      local sig, e = literal(text, sig_end + 1, where)
      if not text:match("^%s*%)", e) then
        fail("%s: MT_SIG(\"%s\" is not closed", where, sig)
      end
      list[#list + 1] = { text = sig, where = where }
      i = e
    else
      return
    end
  end
end

-- ---- reading a signature ------------------------------------------------

local reserved = {}
for word in ([[auto break case char const continue default do double else enum extern float for
  goto if inline int long register restrict return short signed sizeof static struct switch
  typedef union unsigned void volatile while bool true false out]]):gmatch("%a+") do
  reserved[word] = true
end

local function c_name(name)
  return reserved[name] and name .. "_" or name
end

-- Splits at commas that stand outside of (), {} and [].
local function split_params(text)
  local parts, depth, start = {}, 0, 1
  for i = 1, #text do
    local c = text:sub(i, i)
    if c:find("[%(%{%[]") then depth = depth + 1 end
    if c:find("[%)%}%]]") then depth = depth - 1 end
    if c == "," and depth == 0 then
      parts[#parts + 1] = text:sub(start, i - 1)
      start = i + 1
    end
  end
  local last = text:sub(start)
  if last:find("%S") then parts[#parts + 1] = last end
  return parts
end

local base_types = {}
for word in ([[Tensor Operand Scalar int float bool str dtype device generator dim dims index size
  ints floats int2 int3 choice]]):gmatch("%w+") do
  base_types[word] = true
end

local function parse_param(text, sig, where)
  local s = text:match("^%s*(.-)%s*$")
  local base = s:match("^%w+")
  local rest = s:sub(#base + 1)
  local p = { type = base }
  if base == "choice" then
    local words, after = rest:match("^(%b())(.*)$")
    if not words then fail("%s: choice wants (a|b) in: %s", where, sig) end
    p.choices, rest = words, after
  end
  local marks, name, default = rest:match("^([%?%*!%[%]]*)%s+([%a_][%w_]*)%s*=%s*(.-)$")
  if not marks then
    marks, name = rest:match("^([%?%*!%[%]]*)%s+([%a_][%w_]*)$")
  end
  if not name or not base_types[base] then
    fail("%s: cannot read parameter '%s' of: %s", where, s, sig)
  end
  p.name, p.default = name, default
  p.list = marks:find("[", 1, true) ~= nil
  p.written = marks:find("!", 1, true) ~= nil
  -- "Tensor?[]" is a list with gaps; "Tensor[]?" a list that may be left out
  local after = p.list and marks:match("%](.*)$") or marks
  p.optional = after:find("?", 1, true) ~= nil or default == "None"
  return p
end

local function parse(sig, where)
  local name, rest = sig:match("^%s*([%a_][%w_%.]*)%s*(%b()%s*%->.*)$")
  if not name then fail("%s: cannot read: %s", where, sig) end
  local params_text, result = rest:match("^(%b())%s*%->%s*(.-)%s*$")
  local op = { name = name, c = name:gsub("%.", "_"), sig = sig, params = {} }
  for _, text in ipairs(split_params(params_text:sub(2, -2))) do
    if not text:match("^%s*%*%s*$") then
      op.params[#op.params + 1] = parse_param(text, sig, where)
    end
  end
  if result == "Tensor" then
    op.nout = 1
  elseif result == "Tensor!" then
    op.nout, op.returns_self = 1, true
  elseif result == "Tensor[]" or result == "Tensor![]" then
    op.nout = -1
  elseif result == "()" or result == "None" then
    op.nout = 0
  else
    local inner = result:match("^(%b())$")
    if not inner then fail("%s: cannot read the results of: %s", where, sig) end
    op.outs = {}
    for _, text in ipairs(split_params(inner:sub(2, -2))) do
      local mark, out = text:match("^%s*Tensor(!?)%s*([%a_]?[%w_]*)%s*$")
      if not mark then fail("%s: cannot read the results of: %s", where, sig) end
      op.outs[#op.outs + 1] = out ~= "" and out or "out" .. #op.outs
    end
    op.nout = #op.outs
  end
  return op
end

-- ---- writing C ----------------------------------------------------------

-- C type of a parameter and the function that makes its mt_arg ("" for an mt_arg itself).
local function c_type(p)
  local t = p.type
  if t == "Tensor" then
    if p.list then return "mt_tensors ", "mt__arg_tensors" end
    return "mt_tensor *", "mt__arg_t"
  end
  if t == "Operand" or t == "Scalar" or t == "floats" then return "mt_arg ", "" end
  if t == "int" or t == "index" or t == "dim" then
    if p.optional then return "mt_arg ", "" end
    return "int64_t ", "mt__arg_i"
  end
  if t == "float" then
    if p.optional then return "mt_arg ", "" end
    return "double ", "mt__arg_f"
  end
  if t == "bool" then
    if p.optional then return "mt_arg ", "" end
    return "bool ", "mt__arg_b"
  end
  if t == "str" then return "const char *", "mt__arg_s" end
  if t == "dtype" or t == "device" then return "int ", "mt__arg_code" end
  if t == "generator" then return "mt_generator *", "mt__arg_gen" end
  if t == "choice" then
    if p.optional then return "int ", "mt__arg_code" end
    return "int ", "mt__arg_i"
  end
  return "mt_ints ", "mt__arg_ints" -- dims size ints int2 int3
end

local function wrapper(op, inplace)
  local args, fills = {}, {}
  local no_out = inplace or op.returns_self
  if not no_out and op.nout ~= 0 then
    if op.outs then
      for _, out in ipairs(op.outs) do args[#args + 1] = "mt_tensor **out_" .. out end
    else
      args[#args + 1] = "mt_tensor **out"
    end
  end
  for i, p in ipairs(op.params) do
    local ctype, make = c_type(p)
    args[#args + 1] = ctype .. c_name(p.name)
    fills[#fills + 1] = make == "" and c_name(p.name)
      or string.format("%s(%s)", make, c_name(p.name))
    if i % 3 == 0 and i < #op.params then fills[#fills] = "\n    " .. fills[#fills] end
  end
  local lines = {}
  local function add(fmt, ...) lines[#lines + 1] = string.format(fmt, ...) end
  local id = "mt_op_at(MT_OPID_" .. op.c .. ")"
  add("static inline int mt_%s%s(%s) {", op.c, inplace and "_" or "",
    #args > 0 and table.concat(args, ", ") or "void")
  if #fills > 0 then
    add("  mt_arg argv[] = {%s};", table.concat(fills, ", "))
  else
    add("  mt_arg argv[1] = {{0}};")
  end
  if op.nout == 0 then
    add("  return mt_call(%s, MT_CALL, argv, NULL);", id)
  elseif no_out then
    add("  mt_tensor *self_again = NULL;")
    add("  int status = mt_call(%s, %s, argv, &self_again);", id,
      inplace and "MT_CALL_INPLACE" or "MT_CALL")
    add("  mt_release(self_again);")
    add("  return status;")
  elseif op.outs then
    add("  mt_tensor *outs[%d] = {0};", op.nout)
    add("  int status = mt_call(%s, MT_CALL, argv, outs);", id)
    for i, out in ipairs(op.outs) do add("  *out_%s = outs[%d];", out, i - 1) end
    add("  return status;")
  else
    add("  return mt_call(%s, MT_CALL, argv, out);", id)
  end
  add("}")
  return table.concat(lines, "\n")
end

-- ---- all families -------------------------------------------------------

local function list_families()
  -- plain Lua has no directory listing; the Makefile hands the files' names in
  local names = {}
  for i = 3, #arg do
    local name = arg[i]:match("([%w_]+)%.c$")
    if name then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

local families, ops, seen = {}, {}, {}
for _, family in ipairs(list_families()) do
  local where = family .. ".c"
  local text = strip_comments(read_file(source_dir .. "/" .. where) or fail("no %s", where))
  local at = text:find("%f[%w_]mt__ops_" .. family .. "%s*%[%s*%]%s*=")
  if at then
    families[#families + 1] = family
    local rows = {}
    collect(rows, text:sub(at), where)
    for _, row in ipairs(rows) do
      local op = parse(row.text, row.where)
      if seen[op.name] then
        fail("op %s stands in %s and in %s", op.name, seen[op.name], row.where)
      end
      seen[op.name] = row.where
      op.family = family
      ops[#ops + 1] = op
    end
  elseif text:find("%f[%w_]MT_SIG%s*%(") then
    fail("%s has MT_SIG rows but no mt__ops_%s[]", where, family)
  end
end

-- A name that moontorch.h already declares (mt_detach) gets no wrapper.
local public = {}
for name in strip_comments(read_file(source_dir .. "/../moontorch.h") or "")
  :gmatch("%f[%w_](mt_[%w_]+)%s*%(") do
  public[name] = true
end

local header = {}
local function put(fmt, ...)
  header[#header + 1] = select("#", ...) > 0 and string.format(fmt, ...) or fmt
end

put([[
/* moontorch_ops.h: made by runtime/gen.lua from the op table; do not edit.
 *
 * One typed function per op. Results come first (one new reference each; NULL after a failure),
 * then every parameter in the signature's order. A form that returns the tensor it writes
 * (mt_add_, mt_copy_) has no result parameter. None is: NULL for a tensor, a string and a
 * generator, -1 for a dtype, a device and an optional choice, MT_INTS_NONE for a list,
 * mt__arg_none() for the rest. Dims count from 0, everything that addresses an element from 1.
 */
#ifndef MOONTORCH_OPS_H
#define MOONTORCH_OPS_H

#include "op.h"
]])
put("enum mt_opid {")
for _, op in ipairs(ops) do put("  MT_OPID_%s,", op.c) end
put("  MT_NOPS\n};\n")
put([[
static inline mt_arg mt__arg_s(const char *s) {
  mt_arg a = {.kind = s ? MT_STRING : MT_NONE};
  a.u.s = s;
  return a;
}
static inline mt_arg mt__arg_code(int code) {
  mt_arg a = {.kind = code >= 0 ? MT_INT : MT_NONE};
  a.u.i = code;
  return a;
}
static inline mt_arg mt__arg_gen(mt_generator *g) {
  mt_arg a = {.kind = g ? MT_GENERATOR : MT_NONE};
  a.u.gen = g;
  return a;
}
static inline mt_arg mt__arg_ints(mt_ints list) {
  mt_arg a = {.kind = list.n >= 0 ? MT_INTS : MT_NONE, .n = list.n >= 0 ? list.n : 0};
  a.u.is = list.v;
  return a;
}
static inline mt_arg mt__arg_tensors(mt_tensors list) {
  mt_arg a = {.kind = list.n >= 0 ? MT_TENSORS : MT_NONE, .n = list.n >= 0 ? list.n : 0};
  a.u.ts = list.v;
  return a;
}
]])
local family
for _, op in ipairs(ops) do
  if op.family ~= family then
    family = op.family
    put("/* ---- %s ---- */\n", family)
  end
  put("/* %s */", (op.sig:gsub("%*/", "* /")))
  if not public["mt_" .. op.c] then put("%s\n", wrapper(op, false)) end
  local first = op.params[1]
  if op.nout == 1 and not op.returns_self and not op.outs and first
    and (first.type == "Tensor" or first.type == "Operand") and not first.list
    and not first.optional and not op.name:find("%.") and not seen[op.name .. "_"]
    and not public["mt_" .. op.c .. "_"] then
    local self_op = op
    if first.type == "Operand" then -- the tensor that is written
      self_op = { c = op.c, nout = 1, params = {} }
      for i, p in ipairs(op.params) do self_op.params[i] = p end
      self_op.params[1] = { type = "Tensor", name = first.name }
    end
    put("%s\n", wrapper(self_op, true))
  end
end
put("#endif")
write_if_changed(output_dir .. "/moontorch_ops.h", table.concat(header, "\n") .. "\n")

local lines = {}
for i, name in ipairs(families) do lines[i] = "MT_FAMILY(" .. name .. ")\n" end
write_if_changed(output_dir .. "/mt_families.inc", table.concat(lines))
lines = {}
for i, op in ipairs(ops) do lines[i] = 'MT_OPNAME("' .. op.name .. '")\n' end
write_if_changed(output_dir .. "/mt_opnames.inc", table.concat(lines))
io.stdout:write(string.format("%d ops in %d families\n", #ops, #families))
