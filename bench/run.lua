-- run.lua: the benchmark. One JSON line a case on standard output.
--
--   bin/moontorch bench/run.lua [--groups a,b,c,d,f] [--threads 2,1] [--filter TEXT]
--                               [--reps 7] [--rep-seconds 0.25] [--retry-noisy 2] [--quick]
--
-- a  startup: process start to first tensor, resident memory
-- b  cost per op on tensors of four elements, ns
-- c  elementwise ops and their like on 16 Mi float32 (and 64 Ki), GB/s
-- d  matrix products, GFLOP/s
-- f  whole training steps, samples/s
-- Every thread count and group runs in a process of its own, in group f every case.
package.path = "./?.lua;" .. package.path
local M = require "bench.measure"
local cases = require "bench.cases"

local options = { groups = "a,b,c,d,f", threads = "2,1", filter = "", reps = "7",
  ["rep-seconds"] = "0.25", ["retry-noisy"] = "2", child = "", case = "" }
local i = 1
while arg[i] do
  local name = arg[i]:match("^%-%-(.+)$")
  if name == "quick" then
    options.reps, options["rep-seconds"], options["retry-noisy"] = "2", "0.01", "0"
    options.threads = options.threads:match("^[^,]+")
  elseif name and options[name] then
    i = i + 1
    options[name] = arg[i] or error("--" .. name .. " wants a value", 0)
  else
    error("unknown option " .. arg[i], 0)
  end
  i = i + 1
end

M.reps, M.rep_seconds = tonumber(options.reps), tonumber(options["rep-seconds"])
M.retry_noisy, M.filter = tonumber(options["retry-noisy"]), options.filter

if options.child ~= "" then
  M.group, M.threads = options.child, tonumber(options.threads)
  local torch
  if M.group ~= "a" then
    torch = require "moontorch"
    torch.set_num_threads(M.threads)
    torch.manual_seed(0)
  end
  cases.groups[M.group](torch, options.case)
  return
end

local function first_line(path, pattern)
  local f = io.open(path)
  if not f then return "?" end
  for l in f:lines() do
    local found = l:match(pattern)
    if found then
      f:close()
      return found
    end
  end
  f:close()
  return "?"
end

do
  local torch = require "moontorch"
  local core = require "moontorch.core"
  local cores = 0
  for l in io.lines("/proc/cpuinfo") do
    if l:find("^processor") then cores = cores + 1 end
  end
  print(M.json { { "meta", "moontorch bench 1" }, { "version", torch.version },
    { "isa", core.isa() }, { "blas", core.blas() }, { "lua", jit.version },
    { "cpu", first_line("/proc/cpuinfo", "^model name%s*:%s*(.*)$") }, { "cores", cores },
    { "kernel", first_line("/proc/version", "version (%S+)") },
    { "loadavg", tonumber(first_line("/proc/loadavg", "^(%S+)")) or 0 },
    { "time", os.date("!%Y-%m-%dT%H:%M:%SZ") } })
  io.flush()
end

local function quote(s) return "'" .. s:gsub("'", "'\\''") .. "'" end

local function child(threads, group, case)
  local cmd = { "./bin/moontorch", "bench/run.lua", "--child", group, "--threads", threads,
    "--filter", quote(options.filter), "--reps", options.reps, "--rep-seconds",
    options["rep-seconds"], "--retry-noisy", options["retry-noisy"] }
  if case then
    cmd[#cmd + 1] = "--case"
    cmd[#cmd + 1] = case
  end
  os.execute(table.concat(cmd, " "))
end

for threads in options.threads:gmatch("[^,]+") do
  for group in options.groups:gmatch("[^,]+") do
    if group ~= "f" then
      child(threads, group)
    else
      for _, case in ipairs(cases.training) do
        if case:find(options.filter, 1, true) then child(threads, group, case) end
      end
    end
  end
end
