-- measure.lua: times a case and prints its JSON line.
--
-- The method is that of the peer's script, so that the figures can stand side by side: a case is
-- warmed up, its inner count chosen so that one repetition lasts at least `rep_seconds`, then
-- repeated `reps` times; median, min and max are of the repetitions. "other_cpu" is the share of
-- one core that other processes used meanwhile: above 0.05, distrust the line.
local ffi = require "ffi"

ffi.cdef [[
typedef struct { long s, n; } bench_timespec;
int clock_gettime(int clock, bench_timespec *t);
typedef struct { long u_s, u_us, s_s, s_us, maxrss, rest[16]; } bench_rusage;
int getrusage(int who, bench_rusage *r);
long sysconf(int name);
unsigned sleep(unsigned s);
]]

local M = { reps = 7, rep_seconds = 0.25, retry_noisy = 2, filter = "", group = "", threads = 0 }

local ts = ffi.new "bench_timespec"
function M.now() -- seconds
  ffi.C.clock_gettime(1, ts)
  return tonumber(ts.s) + tonumber(ts.n) * 1e-9
end

local usage = ffi.new "bench_rusage"
local function own_cpu()
  local sum = 0
  for _, who in ipairs { 0, -1 } do -- itself and its children
    ffi.C.getrusage(who, usage)
    sum = sum + tonumber(usage.u_s + usage.s_s) + tonumber(usage.u_us + usage.s_us) * 1e-6
  end
  return sum
end

function M.peak_rss_mb()
  ffi.C.getrusage(0, usage)
  return tonumber(usage.maxrss) / 1024
end

local hz = tonumber(ffi.C.sysconf(2)) -- _SC_CLK_TCK
local function all_cpu() -- busy seconds of all cores since boot
  local f = io.open("/proc/stat")
  if not f then return 0 end
  local v = {}
  for n in f:read("*l"):gmatch("%d+") do v[#v + 1] = tonumber(n) end
  f:close()
  return (v[1] + v[2] + v[3] + v[6] + v[7] + v[8]) / hz -- user nice system irq softirq steal
end

local function median(list)
  local s = {}
  for i, x in ipairs(list) do s[i] = x end
  table.sort(s)
  local n = #s
  return n % 2 == 1 and s[(n + 1) / 2] or (s[n / 2] + s[n / 2 + 1]) / 2
end

local function number(x)
  return (("%.5g"):format(x):gsub("e%+?(-?)0*(%d)", "e%1%2"))
end

-- fields: a list of {key, value} so that the order stays
local function json(fields)
  local parts = {}
  for _, kv in ipairs(fields) do
    local v = kv[2]
    if type(v) == "number" then
      v = number(v)
    elseif type(v) == "table" then
      local items = {}
      for i, x in ipairs(v) do items[i] = number(x) end
      v = "[" .. table.concat(items, ", ") .. "]"
    else
      v = '"' .. tostring(v):gsub('[%c"\\]', " ") .. '"'
    end
    parts[#parts + 1] = ('"%s": %s'):format(kv[1], v)
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end
M.json = json

function M.wanted(case)
  return M.filter == "" or case:find(M.filter, 1, true) ~= nil
end

function M.emit(case, unit, values, other_cpu, extra)
  local lo, hi = math.huge, -math.huge
  for _, v in ipairs(values) do lo, hi = math.min(lo, v), math.max(hi, v) end
  local line = { { "peer", "moontorch" }, { "group", M.group }, { "case", case },
    { "threads", M.threads }, { "unit", unit }, { "median", median(values) }, { "min", lo },
    { "max", hi }, { "reps", #values } }
  if other_cpu then line[#line + 1] = { "other_cpu", math.max(0, other_cpu) } end
  for _, kv in ipairs(extra or {}) do line[#line + 1] = kv end
  io.write(json(line), "\n")
  io.flush()
end

-- What others used of the CPU while fn ran, as a share of one core.
function M.watch(fn)
  local busy, own, start = all_cpu(), own_cpu(), M.now()
  fn()
  return (all_cpu() - busy - (own_cpu() - own)) / (M.now() - start)
end

-- value = per_iter * n / t when rate, else per_iter * t / n. A case that raises (an op that
-- does not exist yet) prints a line with its error.
function M.run(case, unit, loop, per_iter, rate, extra)
  if not M.wanted(case) then return end
  local ok, err = pcall(loop, 1)
  if not ok then
    io.write(json { { "peer", "moontorch" }, { "group", M.group }, { "case", case },
      { "error", (tostring(err):match("^[^\n]*")) } }, "\n")
    return
  end
  local n, t = 1
  while true do
    local t0 = M.now()
    loop(n)
    t = M.now() - t0
    if t >= M.rep_seconds / 2 or n >= 2 ^ 26 then break end
    n = math.max(n + 1, math.min(n * 10, math.floor(n * M.rep_seconds / math.max(t, 1e-7))))
  end
  n = math.max(1, math.floor(n * M.rep_seconds / t))
  local times, other
  for attempt = 0, M.retry_noisy do
    times = {}
    other = M.watch(function()
      for r = 1, M.reps do
        local t0 = M.now()
        loop(n)
        times[r] = M.now() - t0
      end
    end)
    if other < 0.05 or attempt == M.retry_noisy then break end
    ffi.C.sleep(2)
  end
  local values = {}
  for i, s in ipairs(times) do values[i] = rate and per_iter * n / s or per_iter * s / n end
  local more = { { "iters", n }, { "ms_per_iter", 1e3 * median(times) / n } }
  for _, kv in ipairs(extra or {}) do more[#more + 1] = kv end
  M.emit(case, unit, values, other, more)
end

local function again(call)
  return function(n)
    for _ = 1, n do call() end
  end
end

-- loop(n) performs n * ops operations
function M.ns(case, loop, ops) M.run(case, "ns/op", loop, 1e9 / (ops or 1), false) end
-- call() moves nbytes at the least
function M.gbs(case, call, nbytes, extra) M.run(case, "GB/s", again(call), nbytes / 1e9, true, extra) end
function M.gflops(case, call, flops, extra)
  M.run(case, "GFLOP/s", again(call), flops / 1e9, true, extra)
end
function M.samples(case, call, batch, extra)
  M.run(case, "samples/s", again(call), batch, true, extra)
end

return M
