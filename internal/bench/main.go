// Command bench compares the stores with named peers and with what the machine
// can do at best.
//
//	go run . [-rounds 20] [-vectors 100000] [-dimension 768] [-only S3]
//	GOEXPERIMENT=simd go run .
//
// Every round runs every variant once, so that what else the machine does falls
// on all of them. The table has the least and the median time, allocations, and
// for each peer the median of the ratios within each round, beside what is aimed
// at. Folder peers compares what conversations cost.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A variant is one way to do the same work.
type variant struct {
	name  string
	peers []peer
	most  uint64 // allocations that are aimed at, 0 if none
	run   func(ctx context.Context) error
}

// A peer is a variant that another is compared with.
type peer struct {
	name string
	// least is how many times as fast as the peer the variant is to be, in
	// processor time for calls of S3 Vectors; 0 if nothing is aimed at.
	least float64
}

func main() {
	rounds := flag.Int("rounds", 20, "how often each variant runs")
	n := flag.Int("vectors", 100_000, "vectors to search")
	dimension := flag.Int("dimension", 768, "of the vectors")
	only := flag.String("only", "", "run the variants whose name contains this, and their peers")
	flag.Parse()
	var variants []variant
	if *only == "" || !strings.HasPrefix(*only, "S3") {
		found, err := search(context.Background(), *n, *dimension)
		if err != nil {
			log.Fatal(err)
		}
		variants = found
	}
	calls, err := codec()
	if err != nil {
		log.Fatal(err)
	}
	variants = chosen(append(variants, calls...), *only)
	runs, err := measure(context.Background(), variants, *rounds)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d x %d float32, top 10, %d processors, %s %s/%s, simd experiment %s, %d rounds after one to warm up\n",
		*n, *dimension, runtime.GOMAXPROCS(0), runtime.Version(), runtime.GOOS, runtime.GOARCH, experiment(), *rounds)
	if err := table(os.Stdout, variants, runs); err != nil {
		log.Fatal(err)
	}
}

// chosen returns the variants whose name contains only, and their peers.
func chosen(variants []variant, only string) []variant {
	needed := make(map[string]bool)
	for _, v := range variants {
		if strings.Contains(v.name, only) {
			needed[v.name] = true
			for _, p := range v.peers {
				needed[p.name] = true
			}
		}
	}
	return slices.DeleteFunc(variants, func(v variant) bool { return !needed[v.name] })
}

// A run is what one round of a variant took.
type run struct {
	wall, processor time.Duration
	allocations     uint64
}

// measure returns the runs of each variant by name, without the first round.
func measure(ctx context.Context, variants []variant, rounds int) (map[string][]run, error) {
	runs := make(map[string][]run)
	for round := range rounds + 1 {
		for _, v := range variants {
			runtime.GC() // the garbage of one variant is not the next one's work
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start, used := time.Now(), spent()
			if err := v.run(ctx); err != nil {
				return nil, fmt.Errorf("%s: %w", v.name, err)
			}
			r := run{wall: time.Since(start), processor: spent() - used}
			runtime.ReadMemStats(&after)
			r.allocations = after.Mallocs - before.Mallocs
			if round > 0 {
				runs[v.name] = append(runs[v.name], r)
			}
		}
	}
	return runs, nil
}

func table(out io.Writer, variants []variant, runs map[string][]run) error {
	wall := func(r run) time.Duration { return r.wall }
	processor := func(r run) time.Duration { return r.processor }
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "variant\tleast ms\tmedian ms\tallocations\ttimes as fast (least, most)\tin processor time\taim\tas this peer")
	for _, v := range variants {
		own := runs[v.name]
		fmt.Fprintf(w, "%s\t%.3f\t%.3f\t%d", v.name, ms(slices.Min(each(own, wall))), ms(median(each(own, wall))), median(each(own, func(r run) uint64 { return r.allocations })))
		if v.most > 0 {
			fmt.Fprintf(w, " (aim %d)", v.most)
		}
		for i, p := range v.peers {
			if i > 0 {
				fmt.Fprint(w, "\n\t\t\t")
			}
			r, aim := ratios(runs[p.name], own, wall), "-"
			if p.least > 0 {
				aim = fmt.Sprint(p.least)
			}
			fmt.Fprintf(w, "\t%.2f (%.2f, %.2f)\t%.2f\t%s\t%s", median(r), slices.Min(r), slices.Max(r), median(ratios(runs[p.name], own, processor)), aim, p.name)
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

func each[T any](runs []run, of func(run) T) []T {
	out := make([]T, len(runs))
	for i, r := range runs {
		out[i] = of(r)
	}
	return out
}

func ratios(of, to []run, figure func(run) time.Duration) []float64 {
	r := make([]float64, len(to))
	for i := range r {
		r[i] = float64(figure(of[i])) / float64(max(1, figure(to[i])))
	}
	return r
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func median[T uint64 | float64 | time.Duration](x []T) T {
	s := slices.Sorted(slices.Values(x))
	return s[len(s)/2]
}
