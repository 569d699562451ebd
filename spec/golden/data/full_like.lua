local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{f(2,3), 2}"] = {{dtype="float64", sizes={2,3}, {2,2,2,2,2,2}}},
  ["{t(f(2,3)), 0.5}"] = {{dtype="float64", sizes={3,2}, {0.5,0.5,0.5,0.5,0.5,0.5}}},
  ["{f(), 1}"] = {{dtype="float64", sizes={}, {1}}},
}
