local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{0, 2, 3}"] = {{dtype="float32", sizes={3}, {1,10,100}}},
  ["{0, 4, 5, 2}"] = {{dtype="float32", sizes={5}, {1,2,4,8,16}}},
}
