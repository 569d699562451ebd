local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{f(3,4), 1}"] = {{dtype="float64", sizes={4}, {-1.3182,-0.3275,-0.1368,-1.16}}, {dtype="int64", sizes={4}, {1,1,1,2}}},
  ["{f(3,4), 2, {keepdim=true}}"] = {{dtype="float64", sizes={3,1}, {-1.5158,-0.4399,-1.2766}}, {dtype="int64", sizes={3,1}, {3,3,4}}},
  ["{f(2,3,4), -2}"] = {{dtype="float64", sizes={2,4}, {-1.2312,-0.8861,-2.6688,-1.5041,0.4795,-0.5956,-1.0714,-0.8085}}, {dtype="int64", sizes={2,4}, {2,3,1,3,2,1,1,1}}},
  ["{t(f(3,5)), 1}"] = {{dtype="float64", sizes={3}, {-1.0705,-1.5436,-1.1074}}, {dtype="int64", sizes={3}, {4,4,2}}},
  ["{f(), 1}"] = {{dtype="float64", sizes={}, {0.4251}}, {dtype="int64", sizes={}, {1}}},
  ["{f(0,3), 2}"] = {{dtype="float64", sizes={0}, {}}, {dtype="int64", sizes={0}, {}}},
}
