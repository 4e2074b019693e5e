package vectors

import "math"

// A kernel sums over the pairs of numbers of a query and each of some rows, which
// lie one after the other: products, or squared differences.
type kernel func(query, rows, sums []float32)

func dotsPortable(query, rows, sums []float32) {
	for i := range sums {
		sums[i] = dot(query, rows[i*len(query):(i+1)*len(query)])
	}
}

func squaresPortable(query, rows, sums []float32) {
	for i := range sums {
		sums[i] = squares(query, rows[i*len(query):(i+1)*len(query)])
	}
}

// Four accumulators keep four additions in flight; the compiler drops the bounds
// checks of slices of constant length. Eight are slower: they spill.
func dot(a, b []float32) float32 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float32
	i := 0
	for ; i+4 <= len(a); i += 4 {
		x, y := a[i:i+4:i+4], b[i:i+4:i+4]
		s0 += x[0] * y[0]
		s1 += x[1] * y[1]
		s2 += x[2] * y[2]
		s3 += x[3] * y[3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return (s0 + s1) + (s2 + s3)
}

func squares(a, b []float32) float32 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float32
	i := 0
	for ; i+4 <= len(a); i += 4 {
		x, y := a[i:i+4:i+4], b[i:i+4:i+4]
		d0, d1, d2, d3 := x[0]-y[0], x[1]-y[1], x[2]-y[2], x[3]-y[3]
		s0 += d0 * d0
		s1 += d1 * d1
		s2 += d2 * d2
		s3 += d3 * d3
	}
	for ; i < len(a); i++ {
		d := a[i] - b[i]
		s0 += d * d
	}
	return (s0 + s1) + (s2 + s3)
}

// dotWide and squaresWide serve where float32 overflows.
func dotWide(a, b []float32) (sum float64) {
	for i, x := range a {
		sum += float64(x) * float64(b[i])
	}
	return sum
}

func squaresWide(a, b []float32) (sum float64) {
	for i, x := range a {
		d := float64(x) - float64(b[i])
		sum += d * d
	}
	return sum
}

// A ruler measures rows against one query.
type ruler struct {
	metric Metric
	query  []float32 // of length 1 under Cosine
	sums   kernel
}

func newRuler(metric Metric, query []float32) ruler {
	if metric == Euclidean {
		return ruler{metric, query, squaresKernel()}
	}
	unit := make([]float32, len(query))
	scale := cosineScale(query)
	for i, x := range query {
		unit[i] = float32(float64(x) * scale)
	}
	return ruler{metric, unit, dotKernel()}
}

// cosineScale returns what makes data a vector of length 1, in float64 because
// it is beyond float32 for the shortest and longest vectors.
func cosineScale(data []float32) float64 { return 1 / math.Sqrt(dotWide(data, data)) }

// reach turns a distance into what the sums of a scan compare with: a row whose
// figure is greater is farther.
func (r ruler) reach(distance float64) float64 {
	switch {
	case r.metric == Euclidean:
		return distance * distance * (1 + 1e-12)
	case distance >= 2:
		return math.Inf(1) // rounding takes figures beyond 2, distances not
	}
	return distance
}

// figure is the cheap form of distance that a scan computes for every row, from
// what the kernel sums.
func (r ruler) figure(sum float32, scale float64) float64 {
	if r.metric == Euclidean {
		return float64(sum)
	}
	return 1 - float64(sum)*scale
}

// distance makes a distance of a figure.
func (r ruler) distance(figure float64, row []float32, scale float64) float64 {
	finite := figure-figure == 0
	if r.metric == Euclidean {
		if !finite {
			figure = squaresWide(r.query, row)
		}
		return math.Sqrt(figure)
	}
	if !finite {
		figure = 1 - dotWide(r.query, row)*scale
	}
	return min(2, max(0, figure))
}
