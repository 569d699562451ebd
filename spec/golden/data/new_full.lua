local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{f(2), {2, 3}, 4}"] = {{dtype="float64", sizes={2,3}, {4,4,4,4,4,4}}},
}
