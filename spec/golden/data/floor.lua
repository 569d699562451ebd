local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{f(3,4)}"] = {{dtype="float64", sizes={3,4}, {0,1,-2,-1,-3,0,-1,-1,-1,0,-3,1}}},
  ["{f()}"] = {{dtype="float64", sizes={}, {1}}},
  ["{i(2,3)}"] = {{dtype="int64", sizes={2,3}, {-2,1,-4,3,-1,-2}}},
}
