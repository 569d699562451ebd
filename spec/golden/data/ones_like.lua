local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{f(2,3)}"] = {{dtype="float64", sizes={2,3}, {1,1,1,1,1,1}}},
  ["{t(f(2,3))}"] = {{dtype="float64", sizes={3,2}, {1,1,1,1,1,1}}},
  ["{f()}"] = {{dtype="float64", sizes={}, {1}}},
  ["{f(0,2)}"] = {{dtype="float64", sizes={0,2}, {}}},
  ["{e(f(2,1), 2, 3)}"] = {{dtype="float64", sizes={2,3}, {1,1,1,1,1,1}}},
}
