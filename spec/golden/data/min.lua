local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{f(3,4)}"] = {{dtype="float64", sizes={}, {-1.7263}}},
  ["{t(f(3,5))}"] = {{dtype="float64", sizes={}, {-2.2297}}},
  ["{f()}"] = {{dtype="float64", sizes={}, {-1.6379}}},
  ["{e(f(3,1),3,2)}"] = {{dtype="float64", sizes={}, {-0.6081}}},
}
