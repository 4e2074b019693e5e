package memorytest_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/memorytest"
)

// An agent stores what its user said and what it answers. It repeats a call that has
// failed, whatever the reason.
type agent struct {
	store memory.Store
	key   memory.Key
	keyed bool // gives each Append a name
}

func (a agent) keep(ctx context.Context, step, role, text string) (memory.Receipt, error) {
	e := memory.Entry{Messages: []memory.Message{memory.Text(role, text)}}
	var opts memory.AppendOptions
	if a.keyed {
		opts.RequestID = step
	}
	for {
		r, err := a.store.Append(ctx, a.key, e, &opts)
		if !errors.Is(err, memory.ErrThrottled) {
			return r, err
		}
	}
}

func (a agent) turn(ctx context.Context, n int) error {
	asked, err := a.keep(ctx, fmt.Sprint(n, " asked"), "user", fmt.Sprint("question ", n))
	if err != nil {
		return err
	}
	// A replica will do, if it has seen the question.
	w, err := a.store.Open(ctx, a.key, &memory.WindowOptions{AtLeast: asked.Bookmark})
	for errors.Is(err, memory.ErrThrottled) {
		w, err = a.store.Open(ctx, a.key, nil)
	}
	if err != nil {
		return err
	}
	last := w.Messages()[len(w.Messages())-1]
	_, err = a.keep(ctx, fmt.Sprint(n, " answered"), "assistant", "an answer to "+last.Parts[0].Text)
	return err
}

// The test of an agent under a storm: which of two agents has kept each message
// once? The seed makes it the same storm each time.
func ExampleWeather() {
	ctx := context.Background()
	for _, keyed := range []bool{false, true} {
		var kept memory.InMemory
		storm := memorytest.Storm(1).Over(&kept)
		a := agent{storm, memory.Key{App: "helpdesk", User: "ada", Session: "s1"}, keyed}
		for n := range 10 {
			if err := a.turn(ctx, n); err != nil {
				fmt.Println(err)
				return
			}
		}
		w, err := kept.Open(ctx, a.key, &memory.WindowOptions{Last: 100}) // as it is, in calm
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("request ids %t: %d messages of 20; replies lost: %d, throttled: %d\n", keyed, len(w.Records), storm.Faults().Lost, storm.Faults().Throttled)
	}
	// Output:
	// request ids false: 24 messages of 20; replies lost: 6, throttled: 10
	// request ids true: 20 messages of 20; replies lost: 6, throttled: 10
}

// A Patient is for tests of what is not about failures: it repeats calls until the
// weather lets them through.
func ExamplePatient() {
	ctx := context.Background()
	storm := memorytest.Storm(1).Over(new(memory.InMemory))
	store := memorytest.NewPatient(storm)
	key := memory.Key{User: "ada", Session: "s1"}
	for _, text := range []string{"Hello", "Is my parcel there?", "And now?", "Thank you"} {
		if _, err := store.Append(ctx, key, memory.Entry{Messages: []memory.Message{memory.Text("user", text)}}, nil); err != nil {
			fmt.Println(err)
			return
		}
	}
	w, err := store.Open(ctx, key, nil)
	fmt.Println(len(w.Records), err, storm.Faults().Lost+storm.Faults().Throttled > 0)
	// Output: 4 <nil> true
}
