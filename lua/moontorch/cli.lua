-- cli.lua: the command line of bin/moontorch.
--
--   moontorch script.lua args...   runs a file; `arg` holds its name and arguments
--   moontorch -e 'code'            runs code; torch, nn, F and optim are set
--   moontorch -i [script]          an interactive loop, after the script if there is one
--   moontorch -                    runs what stands on standard input
-- A script that raises ends in status 1, with its own file and line first. With -e and -i, nn, F
-- and optim are loaded when they are first used, so that a one-liner starts at once.

local usage = [==[
usage: moontorch [options] [script [args]]
  -e code    run code (torch, nn, F and optim are set)
  -i         interactive, after the script or code
  -l name    require a library first
  -v         version        -h  this text
  -          run standard input
]==]

local argv = arg or {}

-- Lua's own lines of the traceback end where the user's code begins.
local function traceback(err)
  if type(err) ~= "string" then
    local mt = getmetatable(err)
    if not (mt and mt.__tostring) then
      return "error object is not a string (" .. type(err) .. ")"
    end
    err = tostring(err)
  end
  local trace = debug.traceback("", 2)
  local kept = {}
  for line in trace:gmatch("[^\n]+") do
    if line:find("moontorch/cli.lua:", 1, true) or line:find("[C]: in function 'xpcall'", 1, true) then
      break
    end
    kept[#kept + 1] = line
  end
  return #kept > 1 and err .. "\n" .. table.concat(kept, "\n") or err
end

local function report(message)
  io.stdout:flush()
  io.stderr:write(message, "\n")
end

local function set_globals()
  local torch = require "moontorch"
  _G.torch = torch
  local lazy = {
    nn = function() return torch.nn end,
    F = function() return torch.nn.functional end,
    optim = function() return torch.optim end,
  }
  local old = getmetatable(_G)
  local mt = old or {}
  local before = mt.__index
  mt.__index = function(t, key)
    local load = lazy[key]
    if load then
      lazy[key] = nil
      rawset(t, key, load())
      return rawget(t, key)
    end
    if type(before) == "function" then return before(t, key) end
    if before then return before[key] end
  end
  if not old then setmetatable(_G, mt) end
  return torch
end

local function run(chunk, err, ...)
  if not chunk then
    report(err)
    return false
  end
  local args, n = { ... }, select("#", ...)
  local ok, message = xpcall(function() return chunk(unpack(args, 1, n)) end, traceback)
  if not ok then report(message) end
  return ok
end

-- A line that is an expression is printed; one that is unfinished asks for more.
local function repl()
  local torch = set_globals()
  print("moontorch " .. tostring(torch.version) .. "  (" .. jit.version .. "); end with Ctrl-D")
  local buffer = ""
  while true do
    io.write(buffer == "" and "> " or ">> ")
    io.flush()
    local line = io.read("*l")
    if not line then break end
    local text = buffer == "" and line:gsub("^%s*=", "return ") or buffer .. "\n" .. line
    local chunk, err = loadstring("return " .. text, "=stdin")
    if not chunk then chunk, err = loadstring(text, "=stdin") end
    if not chunk and err:find("'<eof>'", 1, true) then
      buffer = text
    else
      buffer = ""
      if chunk then
        local results = { xpcall(chunk, traceback) }
        if not results[1] then
          report(results[2])
        elseif table.maxn(results) > 1 then
          local ok, message = pcall(print, unpack(results, 2, table.maxn(results)))
          if not ok then report(message) end
        end
      else
        report(err)
      end
    end
  end
  io.write("\n")
end

local function main()
  local i, code, interactive, stdin = 1, {}, false, false
  while argv[i] and argv[i]:sub(1, 1) == "-" do
    local option = argv[i]
    if option == "-" then
      stdin = true
      break
    elseif option == "--" then
      i = i + 1
      break
    elseif option == "-e" or option == "-l" then
      i = i + 1
      if not argv[i] then
        report("moontorch: " .. option .. " wants an argument\n" .. usage)
        return 2
      end
      code[#code + 1] = { option, argv[i] }
    elseif option == "-i" then
      interactive = true
    elseif option == "-v" or option == "--version" then
      local torch = require "moontorch"
      print("moontorch " .. tostring(torch.version) .. "  (" .. jit.version .. ")")
      return 0
    elseif option == "-h" or option == "--help" then
      io.write(usage)
      return 0
    else
      report("moontorch: unknown option " .. option .. "\n" .. usage)
      return 2
    end
    i = i + 1
  end

  -- `arg` as Lua fills it: the script is arg[0], what stands before it has negative places
  local script = argv[i]
  local filled = {}
  for place = -1, #argv do
    if argv[place] ~= nil then filled[place - (script and i or #argv + 1)] = argv[place] end
  end
  _G.arg = filled

  if #code == 0 and not script and not interactive then
    io.write(usage)
    return 2
  end
  if #code > 0 or interactive then set_globals() end
  for _, item in ipairs(code) do
    local ok
    if item[1] == "-l" then
      ok = run(function() _G[item[2]] = require(item[2]) end)
    else
      ok = run(loadstring(item[2], "=(command line)"))
    end
    if not ok then return 1 end
  end
  if script then
    local chunk, err
    if stdin then chunk, err = loadfile() else chunk, err = loadfile(script) end
    if not run(chunk, err, unpack(filled, 1, #filled)) then return 1 end
  end
  if interactive then repl() end
  return 0
end

os.exit(main(), true)
