-- suggest.lua: "did you mean ...?" for a name that does not exist.

--- Number of single-character edits (insert, delete, replace, swap of neighbours) from a to b.
---@param a string
---@param b string
---@param limit integer stop counting beyond this
---@return integer
local function distance(a, b, limit)
  if math.abs(#a - #b) > limit then return limit + 1 end
  local before, last, row = {}, {}, {}
  for j = 0, #b do last[j] = j end
  for i = 1, #a do
    row[0] = i
    local best = i
    for j = 1, #b do
      local same = a:byte(i) == b:byte(j)
      local d = math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (same and 0 or 1))
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        d = math.min(d, before[j - 2] + 1)
      end
      row[j] = d
      if d < best then best = d end
    end
    if best > limit then return limit + 1 end
    before, last, row = last, row, before
  end
  return last[#b]
end

--- The name nearest to `name`, or nil when none is near.
---@param name string
---@param candidates string[]
---@return string|nil
local function nearest(name, candidates)
  local limit = math.max(1, math.floor(#name / 3))
  local best, best_distance
  local lower = name:lower()
  for _, candidate in ipairs(candidates) do
    local d = distance(lower, candidate:lower(), limit)
    local nearer = best == nil or d < best_distance or d == best_distance and candidate < best
    if d <= limit and nearer then
      best, best_distance = candidate, d
    end
  end
  return best
end

--- The sentence to append to an error: "; did you mean 'x'?" or "".
---@param name string
---@param candidates string[]
---@return string
local function suggestion(name, candidates)
  local best = nearest(name, candidates)
  return best and ("; did you mean '%s'?"):format(best) or ""
end

return {nearest = nearest, suggestion = suggestion, distance = distance}
