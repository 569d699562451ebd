local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{f(3,2)}"] = {{dtype="float64", sizes={2}, {2.2368,-0.7685}}, {dtype="float64", sizes={2}, {-0.5037,-0.632}}, {dtype="float64", sizes={2}, {0.8019,2.0293}}},
  ["{f(3,2), 2}"] = {{dtype="float64", sizes={3}, {0.1631,1.8418,1.9316}}, {dtype="float64", sizes={3}, {-1.2728,-0.3441,1.442}}},
  ["{t(f(3,2)), -1}"] = {{dtype="float64", sizes={2}, {-0.4551,-1.0914}}, {dtype="float64", sizes={2}, {0.7926,0.6473}}, {dtype="float64", sizes={2}, {-0.5543,-0.387}}},
  ["{f(0,3)}"] = {},
}
