local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{f(3,4), \"fro\"}"] = {{dtype="float64", sizes={}, {3.0547087324326028}}},
  ["{f(2,3,4), \"fro\", {2,3}, true}"] = {{dtype="float64", sizes={2,1,1}, {3.520744848750048,3.3069631915096966}}},
}
