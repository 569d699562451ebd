local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{{f(3), f(3)}}"] = {{dtype="float64", sizes={2,3}, {-1.2393,-1.8064,-0.259,-0.4814,0.1645,1.4946}}},
}
