local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{f(3,4), 1}"] = {{dtype="float64", sizes={4}, {0.6829,2.117,1.7405,1.1739}}, {dtype="int64", sizes={4}, {2,2,2,2}}},
  ["{f(3,4), 2, {keepdim=true}}"] = {{dtype="float64", sizes={3,1}, {0.7479,0.9457,0.3368}}, {dtype="int64", sizes={3,1}, {1,4,1}}},
  ["{f(2,3,4), -2}"] = {{dtype="float64", sizes={2,4}, {0.2644,1.6517,0.7356,0.6449,0.1807,0.8017,1.4214,0.3899}}, {dtype="int64", sizes={2,4}, {1,2,1,1,2,2,3,1}}},
  ["{t(f(3,5)), 1}"] = {{dtype="float64", sizes={3}, {2.5988,-0.1319,1.2482}}, {dtype="int64", sizes={3}, {4,5,5}}},
  ["{f(), 1}"] = {{dtype="float64", sizes={}, {-1.2679}}, {dtype="int64", sizes={}, {1}}},
  ["{f(0,3), 2}"] = {{dtype="float64", sizes={0}, {}}, {dtype="int64", sizes={0}, {}}},
}
