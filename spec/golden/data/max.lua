local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{f(3,4)}"] = {{dtype="float64", sizes={}, {2.0584}}},
  ["{t(f(3,5))}"] = {{dtype="float64", sizes={}, {1.1821}}},
  ["{f()}"] = {{dtype="float64", sizes={}, {1.0671}}},
  ["{e(f(3,1),3,2)}"] = {{dtype="float64", sizes={}, {0.1695}}},
}
