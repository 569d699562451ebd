local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{f(3,4)}"] = {{dtype="float64", sizes={3,4}, {0,0,0,0,0,0,0,0,0,0,0,0}}},
  ["{t(f(3,4))}"] = {{dtype="float64", sizes={4,3}, {0,0,0,0,0,0,0,0,0,0,0,0}}},
  ["{i(2,3)}"] = {{dtype="int64", sizes={2,3}, {0,0,0,0,0,0}}},
}
