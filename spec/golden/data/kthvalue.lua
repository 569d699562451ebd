local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{f(3,4), 2}"] = {{dtype="float64", sizes={3}, {-1.2903,-0.1608,-0.5383}}, {dtype="int64", sizes={3}, {3,2,4}}},
  ["{f(3,4), 2, 1}"] = {{dtype="float64", sizes={4}, {-0.8503,-0.1241,-1.7005,-0.1599}}, {dtype="int64", sizes={4}, {1,1,3,2}}},
  ["{f(3,4), 1, 2, true}"] = {{dtype="float64", sizes={3,1}, {-1.1522,-0.6848,0.2849}}, {dtype="int64", sizes={3,1}, {4,2,4}}},
  ["{f(), 1}"] = {{dtype="float64", sizes={}, {0.4667}}, {dtype="int64", sizes={}, {1}}},
  ["{t(f(3,4)), 2}"] = {{dtype="float64", sizes={4}, {0.5711,-0.1806,-0.3792,-0.2885}}, {dtype="int64", sizes={4}, {1,2,2,2}}},
}
