local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{f(3,4)}"] = {{dtype="float64", sizes={}, {1.0255}}},
  ["{f(3,4), 2, true}"] = {{dtype="float64", sizes={3,1}, {0.377,1.5214,-0.2097}}},
  ["{f(2,3,4), {1,3}}"] = {{dtype="float64", sizes={3}, {1.6173,1.9248,0.6148}}},
  ["{t(f(3,5)), 1}"] = {{dtype="float64", sizes={3}, {1.6198,1.0475,1.4867}}},
  ["{f()}"] = {{dtype="float64", sizes={}, {0.1907}}},
  ["{f(0,3), 2}"] = {{dtype="float64", sizes={0}, {}}},
}
