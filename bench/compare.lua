-- compare.lua: see bench/compare.
local options = { peer = os.getenv("PEER") or "", env = "", groups = "a,b,c,d,f", threads = "2",
  filter = "", rounds = "3", reps = "5", ["rep-seconds"] = "0.2", out = "" }
local i = 1
while arg[i] do
  local name = arg[i]:match("^%-%-(.+)$")
  if not name or not options[name] then
    io.stderr:write("compare: unknown option ", arg[i], "\n")
    os.exit(2)
  end
  i = i + 1
  options[name] = arg[i]
  i = i + 1
end
if options.peer == "" then
  io.stderr:write("compare: no peer: give --peer COMMAND or set PEER (see bench/README.md)\n")
  os.exit(2)
end

local keep = options.out ~= "" and assert(io.open(options.out, "a"))
local values, order, meta = {}, {}, {} -- values[threads .. case][side] = list of medians

local function read_lines(side, command)
  local p = assert(io.popen(command))
  for line in p:lines() do
    if keep then keep:write(line, "\n") end
    local case, median = line:match('"case": "([^"]*)"'), line:match('"median": ([%d%.eE%+%-]+)')
    if line:find('"meta"', 1, true) and not meta[side] then
      meta[side] = line
    elseif case and median then
      local threads, unit = line:match('"threads": (%d+)'), line:match('"unit": "([^"]*)"')
      local key = threads .. "\0" .. case
      if not values[key] then
        values[key] = { case = case, threads = threads, unit = unit, ours = {}, peer = {}, noise = 0 }
        order[#order + 1] = key
      end
      local v = values[key]
      v[side][#v[side] + 1] = tonumber(median)
      v.noise = math.max(v.noise, tonumber(line:match('"other_cpu": ([%d%.eE%+%-]+)') or 0) or 0)
    end
  end
  p:close()
end

local function quote(s) return "'" .. s:gsub("'", "'\\''") .. "'" end

for round = 1, tonumber(options.rounds) do
  for threads in options.threads:gmatch("[^,]+") do
    for group in options.groups:gmatch("[^,]+") do
      io.stderr:write(("round %d, threads %s, group %s\n"):format(round, threads, group))
      local same = (" --groups %s --threads %s --filter %s --reps %s --rep-seconds %s --retry-noisy 0")
        :format(group, threads, quote(options.filter), options.reps, options["rep-seconds"])
      read_lines("ours", "./bin/moontorch bench/run.lua" .. same)
      read_lines("peer", "env " .. options.env .. " " .. options.peer .. same)
    end
  end
end
if keep then keep:close() end

local function median(list)
  table.sort(list)
  local n = #list
  return n % 2 == 1 and list[(n + 1) / 2] or (list[n / 2] + list[n / 2 + 1]) / 2
end
local function show(x) return x >= 1000 and ("%.0f"):format(x) or ("%.4g"):format(x) end

if meta.ours then print(meta.ours) end
if meta.peer then print(meta.peer) end
print(("\n| %-26s | %2s | %-9s | %10s | %10s | %7s | %5s |"):format("case", "th", "unit", "ours", "peer",
  "ratio", "noise"))
print("| --- | --- | --- | --- | --- | --- | --- |")
local lower_is_better = { ["ns/op"] = true, ms = true, MB = true }
for _, key in ipairs(order) do
  local v = values[key]
  if #v.ours > 0 and #v.peer > 0 then
    local ours, peer = median(v.ours), median(v.peer)
    local ratio = lower_is_better[v.unit] and peer / ours or ours / peer
    print(("| %-26s | %2s | %-9s | %10s | %10s | %6.2fx | %5.2f |"):format(v.case, v.threads, v.unit,
      show(ours), show(peer), ratio, v.noise))
  end
end
