local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{f(4,3), idx(12,5)}"] = {{dtype="float64", sizes={5}, {2.2477,-1.1768,2.2477,-0.1553,-0.6681}}},
  ["{t(f(4,3)), idx(12,2,2)}"] = {{dtype="float64", sizes={2,2}, {-0.4585,-0.9743,-1.0811,-1.2334}}},
  ["{f(), idx(1)}"] = {{dtype="float64", sizes={}, {-0.4265}}},
}
