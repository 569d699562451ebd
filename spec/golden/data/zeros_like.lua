local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{f(2,3)}"] = {{dtype="float64", sizes={2,3}, {0,0,0,0,0,0}}},
  ["{t(f(2,3))}"] = {{dtype="float64", sizes={3,2}, {0,0,0,0,0,0}}},
  ["{f()}"] = {{dtype="float64", sizes={}, {0}}},
  ["{f(0,2)}"] = {{dtype="float64", sizes={0,2}, {}}},
  ["{f(2), {dtype=torch.int32}}"] = {{dtype="int32", sizes={2}, {0,0}}},
}
