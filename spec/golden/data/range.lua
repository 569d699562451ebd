local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{1, 5}"] = {{dtype="int64", sizes={5}, {1,2,3,4,5}}},
  ["{0, 1, 0.25}"] = {{dtype="float32", sizes={5}, {0,0.25,0.5,0.75,1}}},
  ["{5, 1, -2}"] = {{dtype="int64", sizes={3}, {5,3,1}}},
  ["{2, 2}"] = {{dtype="int64", sizes={1}, {2}}},
}
