local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{f(3,4)}"] = {{dtype="float64", sizes={3,4}, {1,-1,1,-1,-1,-1,-1,1,1,-1,1,1}}},
  ["{f()}"] = {{dtype="float64", sizes={}, {-1}}},
  ["{i(2,3)}"] = {{dtype="int64", sizes={2,3}, {-1,-1,-1,-1,-1,-1}}},
}
