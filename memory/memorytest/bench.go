package memorytest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/genaistore/genaistore/memory"
)

// Bench measures what an agent does at every step, on records of 0.9 KB.
func Bench(b *testing.B, newStore func(b *testing.B) memory.Store) {
	b.Helper()
	text := strings.Repeat("0123456789", 90)
	key := memory.Key{App: name("app"), User: name("user"), Session: name("session")}
	fill := func(b *testing.B, store memory.Store, n int) {
		b.Helper()
		for i := range n {
			if _, err := store.Append(b.Context(), key, entry(fmt.Sprint(i/3), text), nil); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("Append", func(b *testing.B) {
		store, n := newStore(b), 0
		for b.Loop() {
			if n++; n%1000 == 0 { // keeps sessions, and the memory of a store in this process, at a size that occurs
				if err := store.Delete(b.Context(), key); err != nil {
					b.Fatal(err)
				}
			}
			fill(b, store, 1)
		}
	})
	b.Run("Append with a RequestID and state", func(b *testing.B) {
		store := newStore(b)
		e := entry("", text)
		e.State.Set.Session = memory.State{"k": "v"}
		n := 0
		for b.Loop() {
			k := key
			k.Session = fmt.Sprint(n / 1000)
			n++
			if _, err := store.Append(b.Context(), k, e, once(fmt.Sprint(n))); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, size := range []int{20, 1000} {
		b.Run(fmt.Sprintf("Open the last 20 of %d", size), func(b *testing.B) {
			store := newStore(b)
			fill(b, store, size)
			for b.Loop() {
				w, err := store.Open(b.Context(), key, nil)
				if err != nil || len(w.Records) == 0 {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("Records of 100", func(b *testing.B) {
		store := newStore(b)
		fill(b, store, 100)
		for b.Loop() {
			for _, err := range store.Records(b.Context(), key, nil) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("Find 50 sessions", func(b *testing.B) {
		store := newStore(b)
		for i := range 50 {
			k := key
			k.Session = fmt.Sprint(i)
			if _, err := store.Update(b.Context(), k, memory.Create{Title: "t"}); err != nil {
				b.Fatal(err)
			}
		}
		for b.Loop() {
			for _, err := range store.Find(b.Context(), memory.Query{App: key.App, User: key.User}) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
