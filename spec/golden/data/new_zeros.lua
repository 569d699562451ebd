local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{f(2), 2, 3}"] = {{dtype="float64", sizes={2,3}, {0,0,0,0,0,0}}},
  ["{f(2), {}}"] = {{dtype="float64", sizes={}, {0}}},
}
