package artifactstest

import (
	"crypto/rand"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/genaistore/genaistore/artifacts"
)

// Bench measures what programs do most.
func Bench(b *testing.B, newStore func(b *testing.B) artifacts.Store) {
	b.Helper()
	name := func() artifacts.Name {
		return artifacts.Name{Tenant: "b-" + strings.ToLower(rand.Text()), Path: "llm/ranker"}
	}
	publish := func(b *testing.B, s artifacts.Store, n artifacts.Name, size int) artifacts.Version {
		b.Helper()
		data := make([]byte, size)
		_, _ = rand.Read(data[:min(size, 16)]) // never fails
		p, err := s.Publish(b.Context(), n, artifacts.Files(map[string][]byte{"weights": data}), nil)
		if err != nil {
			b.Fatal(err)
		}
		return p.Version
	}
	for _, size := range []int{1 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("Publish/%dKiB", size>>10), func(b *testing.B) {
			s, n := newStore(b), name()
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				publish(b, s, n, size)
			}
		})
	}
	b.Run("PublishAgain", func(b *testing.B) {
		s, n := newStore(b), name()
		same := artifacts.Files(map[string][]byte{"weights": make([]byte, 1<<10)})
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.Publish(b.Context(), n, same, &artifacts.PublishOptions{ID: "once"}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Resolve", func(b *testing.B) {
		s, n := newStore(b), name()
		publish(b, s, n, 1<<10)
		if _, err := s.Apply(b.Context(), n, artifacts.SetAlias{Alias: "production", Version: 1}); err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.Resolve(b.Context(), artifacts.Ref{Name: n, Alias: "production"}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("SetAlias", func(b *testing.B) {
		s, n := newStore(b), name()
		publish(b, s, n, 1)
		publish(b, s, n, 1)
		b.ReportAllocs()
		for to := int64(0); b.Loop(); to++ {
			if _, err := s.Apply(b.Context(), n, artifacts.SetAlias{Alias: "production", Version: to%2 + 1}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Open/1MiB", func(b *testing.B) {
		s, n := newStore(b), name()
		v := publish(b, s, n, 1<<20)
		b.SetBytes(1 << 20)
		b.ReportAllocs()
		for b.Loop() {
			f, err := s.Open(b.Context(), v.ID, "weights")
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, f); err != nil {
				b.Fatal(err)
			}
			if err := f.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
