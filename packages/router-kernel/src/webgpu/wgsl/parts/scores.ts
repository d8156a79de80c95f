/** kernels/parts/scores.wgsl, as text. Written by npm run kernels: change the .wgsl file instead. */
export const SCORES_WGSL = {
  file: 'kernels/parts/scores.wgsl',
  text: `// What weights and choice scores are made of: each scoring's function of a logit, by the rules of the contract.

#if SOFTMAX
// A logit's share before the division by the sum of all shares: e^(x - top); with +Infinity on top, 1 for +Infinity
// and 0 else; with nothing above -Infinity, 1.
fn share(order: u32, top: u32) -> f32 {
  let of_finite = select({{EXP}}(logit_of(order) - logit_of(top)), 0.0, order <= NEGATIVE_INFINITY_ORDER);
  let of_infinite = select(0.0, 1.0, order >= POSITIVE_INFINITY_ORDER);
  let of_number = select(of_finite, of_infinite, top >= POSITIVE_INFINITY_ORDER);
  return select(of_number, 1.0, top <= NEGATIVE_INFINITY_ORDER);
}

#end SOFTMAX
#if ACCURATE_EXP
// e^x within 2 ulp for x <= 0 (exp promises 3 + 2 |x|): choice scores are compared, so their errors must stay small.
// x = n ln 2 + r, |r| <= ln 2 / 2, by Cody and Waite's split of ln 2; e^r by its Taylor series.
fn accurate_exp(x: f32) -> f32 {
  let clamped = max(x, -103.0);
  let n = round(clamped * 1.442695041);
  let r = fma(n, 2.12194440e-4, fma(n, -0.693359375, clamped));
  var series = 1.0 / 5040.0;
  series = fma(series, r, 1.0 / 720.0);
  series = fma(series, r, 1.0 / 120.0);
  series = fma(series, r, 1.0 / 24.0);
  series = fma(series, r, 1.0 / 6.0);
  series = fma(series, r, 0.5);
  series = fma(series, r, 1.0);
  series = fma(series, r, 1.0);
  // Two factors, since 2^n itself may be too small for an f32.
  let half = i32(n) / 2;
  let rest = i32(n) - half;
  return series * bitcast<f32>((half + 127) << 23u) * bitcast<f32>((rest + 127) << 23u);
}

#end ACCURATE_EXP
#if SIGMOID
fn score(order: u32) -> f32 {
  let x = logit_of(order);
  let e = {{EXP}}(-abs(x));
  let of_finite = select(e, 1.0, x >= 0.0) / (1.0 + e);
  let of_number = select(of_finite, 1.0, order >= POSITIVE_INFINITY_ORDER);
  return select(of_number, 0.0, order <= NEGATIVE_INFINITY_ORDER);
}

#end SIGMOID
#if SQRTSOFTPLUS
// sqrt(log(1 + e^x)), with log(1 + e) = 2 atanh(e / (2 + e)) as a series: log alone loses every digit of a small e.
fn score(order: u32) -> f32 {
  let x = logit_of(order);
  let e = {{EXP}}(-abs(x));
  let s = e / (2.0 + e);
  let q = s * s;
  var series = 1.0 / 15.0;
  series = fma(series, q, 1.0 / 13.0);
  series = fma(series, q, 1.0 / 11.0);
  series = fma(series, q, 1.0 / 9.0);
  series = fma(series, q, 1.0 / 7.0);
  series = fma(series, q, 1.0 / 5.0);
  series = fma(series, q, 1.0 / 3.0);
  series = fma(series, q, 1.0);
  // Where e^x is too small for an f32 its root is not.
  let of_finite = select(sqrt(max(x, 0.0) + 2.0 * s * series), {{EXP}}(min(0.5 * x, 0.0)), x < -16.0);
  let of_number = select(of_finite, LARGEST_F32, order >= POSITIVE_INFINITY_ORDER);
  return select(of_number, 0.0, order <= NEGATIVE_INFINITY_ORDER);
}

#end SQRTSOFTPLUS
`,
};
