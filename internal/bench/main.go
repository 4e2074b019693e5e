// Command bench compares the stores with named peers and with what the machine
// can do at best.
//
//	go run . [-rounds 20] [-vectors 100000] [-dimension 768] [-only S3]
//	GOEXPERIMENT=simd go run .
//
// Every round runs every variant once, so that what else the machine does falls
// on all of them. The table has the least and the median time, and the median of
// the ratios to the peer within each round.
package main

import (
	"context"
	"flag"
	"fmt"
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
	name string
	peer string // the variant it is compared with
	run  func(ctx context.Context) error
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
	variants = append(variants, calls...)
	variants = slices.DeleteFunc(variants, func(v variant) bool {
		needed := slices.ContainsFunc(variants, func(w variant) bool { return w.peer == v.name && strings.Contains(w.name, *only) })
		return !needed && !strings.Contains(v.name, *only)
	})
	times, cpu := make(map[string][]time.Duration), make(map[string][]time.Duration)
	for range *rounds + 1 {
		for _, v := range variants {
			runtime.GC() // the garbage of one variant is not the next one's work
			start, before := time.Now(), spent()
			if err := v.run(context.Background()); err != nil {
				log.Fatalf("%s: %v", v.name, err)
			}
			times[v.name] = append(times[v.name], time.Since(start))
			cpu[v.name] = append(cpu[v.name], spent()-before)
		}
	}
	fmt.Printf("%d x %d float32, top 10, %d processors, %s %s/%s, simd experiment %s, %d rounds after one to warm up\n",
		*n, *dimension, runtime.GOMAXPROCS(0), runtime.Version(), runtime.GOOS, runtime.GOARCH, experiment(), *rounds)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "variant\tleast ms\tmedian ms\ttimes as fast as its peer, median of rounds (least, most)\tof its processor time")
	for _, v := range variants {
		own := times[v.name][1:]
		fmt.Fprintf(w, "%s\t%.3f\t%.3f\t", v.name, ms(slices.Min(own)), ms(median(own)))
		if peer := times[v.peer]; peer != nil {
			r := ratios(peer[1:], own)
			fmt.Fprintf(w, "%.2f (%.2f, %.2f) of %s\t%.2f", median(r), slices.Min(r), slices.Max(r), v.peer, median(ratios(cpu[v.peer][1:], cpu[v.name][1:])))
		}
		fmt.Fprintln(w)
	}
	if err := w.Flush(); err != nil {
		log.Fatal(err)
	}
}

func ratios(of, to []time.Duration) []float64 {
	r := make([]float64, len(to))
	for i := range r {
		r[i] = float64(of[i]) / float64(max(1, to[i]))
	}
	return r
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func median[T int64 | float64 | time.Duration](x []T) T {
	s := slices.Sorted(slices.Values(x))
	return s[len(s)/2]
}
