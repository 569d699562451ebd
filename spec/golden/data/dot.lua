local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{f(5), f(5)}"] = {{dtype="float64", sizes={}, {-3.2759614499999996}}},
  ["{f(0), f(0)}"] = {{dtype="float64", sizes={}, {0}}},
  ["{f(1), f(1)}"] = {{dtype="float64", sizes={}, {0.17929201}}},
}
