-- report.lua: the specs' output: what failed, with its place, and at the end "N passed, N failed".
-- One line per spec file as it ends; a dot per test would drown thousands of them.
return function(options)
  local busted = require "busted"
  local handler = require "busted.outputHandlers.base"()
  local file_passed, file_failed, started = 0, 0, 0
  local passed, failed, pending = 0, 0, 0

  local function describe(kind, t)
    io.write("FAIL  ", t.name or kind, "\n")
    if t.trace and t.trace.short_src then
      io.write("      ", t.trace.short_src, ":", tostring(t.trace.currentline), "\n")
    end
    local message = t.message
    if type(message) ~= "string" then
      message = require "pl.pretty".write(message)
    end
    io.write("      ", (tostring(message):gsub("\n", "\n      ")), "\n")
    if options.verbose and t.trace and t.trace.traceback then io.write(t.trace.traceback, "\n") end
  end

  handler.fileStart = function()
    file_passed, file_failed, started = 0, 0, os.clock()
    return nil, true
  end

  handler.fileEnd = function(file)
    io.write(string.format("%s  %s (%d passed, %d failed, %.1f s)\n",
      file_failed == 0 and "ok  " or "FAIL", file.name, file_passed, file_failed,
      os.clock() - started))
    io.flush()
    return nil, true
  end

  handler.testEnd = function(_, _, status)
    if status == "success" then
      passed, file_passed = passed + 1, file_passed + 1
    elseif status == "pending" then
      pending = pending + 1
    else
      failed, file_failed = failed + 1, file_failed + 1
      local list = status == "failure" and handler.failures or handler.errors
      if list[#list] then describe(status, list[#list]) end
    end
    return nil, true
  end

  handler.error = function(element)
    if element.descriptor ~= "it" then -- a file that does not load, a hook that raises
      failed, file_failed = failed + 1, file_failed + 1
      local last = handler.errors[#handler.errors]
      if last then describe("error", last) end
    end
    return nil, true
  end

  handler.suiteEnd = function()
    if pending > 0 then io.write(string.format("%d pending\n", pending)) end
    io.write(string.format("%d passed, %d failed\n", passed, failed))
    io.flush()
    return nil, true
  end

  busted.subscribe({ "file", "start" }, handler.fileStart)
  busted.subscribe({ "file", "end" }, handler.fileEnd)
  busted.subscribe({ "test", "end" }, handler.testEnd, { predicate = handler.cancelOnPending })
  busted.subscribe({ "suite", "end" }, handler.suiteEnd)
  busted.subscribe({ "error" }, handler.error)
  busted.subscribe({ "failure" }, handler.error)
  return handler
end
