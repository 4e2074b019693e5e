package memory_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/genaistore/genaistore/memory"
)

func Example() {
	ctx := context.Background()
	var store memory.Store = &memory.InMemory{}
	session := memory.Key{App: "travel", User: "ada", Session: "s1"}

	turns := []struct{ question, answer string }{
		{"Where is Lovelace buried?", "In Hucknall, beside her father."},
		{"How do I get there from London?", "By train to Nottingham, then by tram."},
	}
	for i, turn := range turns {
		for _, m := range []memory.Message{memory.Text("user", turn.question), memory.Text("assistant", turn.answer)} {
			entry := memory.Entry{Turn: fmt.Sprint(i), Messages: []memory.Message{m}}
			if _, err := store.Append(ctx, session, entry, nil); err != nil {
				log.Fatal(err)
			}
		}
	}

	window, err := store.Open(ctx, session, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range window.Messages() {
		fmt.Printf("%s: %s\n", m.Role, m.Parts[0].Text)
	}
	// Output:
	// user: Where is Lovelace buried?
	// assistant: In Hucknall, beside her father.
	// user: How do I get there from London?
	// assistant: By train to Nottingham, then by tram.
}

// A request that is delivered twice, or retried after a timeout whose outcome nobody
// knows, must not say everything twice: name the request.
func ExampleAppendOptions_requestID() {
	ctx := context.Background()
	var store memory.InMemory
	session := memory.Key{User: "ada", Session: "s1"}
	entry := memory.Entry{Messages: []memory.Message{memory.Text("user", "Book it.")}}

	for range 2 {
		receipt, err := store.Append(ctx, session, entry, &memory.AppendOptions{RequestID: "execution-7/receive"})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("replayed:", receipt.Replayed)
	}
	window, err := store.Open(ctx, session, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("records:", len(window.Records))
	// Output:
	// replayed: false
	// replayed: true
	// records: 1
}

// A bound in tokens, not in messages, is what a model has. The window keeps turns
// and tool calls whole, so that it may stay below the bound; the gist counts too.
func ExampleWindowOptions_tokens() {
	ctx := context.Background()
	var store memory.InMemory
	session := memory.Key{User: "ada", Session: "s1"}
	for turn := range 3 {
		for _, role := range []string{"user", "assistant"} {
			m := memory.Text(role, fmt.Sprintf("%s in turn %d", role, turn))
			m.Tokens = 40 // by the model's own tokenizer
			if _, err := store.Append(ctx, session, memory.Entry{Turn: fmt.Sprint(turn), Messages: []memory.Message{m}}, nil); err != nil {
				log.Fatal(err)
			}
		}
	}

	window, err := store.Open(ctx, session, &memory.WindowOptions{Last: 100, Tokens: 140})
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range window.Records {
		fmt.Println(r.Messages[0].Parts[0].Text)
	}
	fmt.Println("earlier:", window.Earlier)
	// Output:
	// user in turn 2
	// assistant in turn 2
	// earlier: true
}

// Two workers that answer one question at once: the second finds that the session
// has moved on, reads again and decides again.
func ExampleAppendOptions_ifVersion() {
	ctx := context.Background()
	var store memory.InMemory
	session := memory.Key{User: "ada", Session: "s1"}
	if _, err := store.Update(ctx, session, memory.Create{}); err != nil {
		log.Fatal(err)
	}
	window, err := store.Open(ctx, session, nil) // both read this
	if err != nil {
		log.Fatal(err)
	}

	for _, worker := range []string{"first", "second"} {
		answer := memory.Entry{Messages: []memory.Message{memory.Text("assistant", "the "+worker+" worker's answer")}}
		_, err := store.Append(ctx, session, answer, &memory.AppendOptions{IfVersion: window.Head.Version})
		switch {
		case errors.Is(err, memory.ErrConflict):
			fmt.Println(worker, "lost and must read again:", err)
		case err != nil:
			log.Fatal(err)
		default:
			fmt.Println(worker, "won")
		}
	}
	// Output:
	// first won
	// second lost and must read again: append //ada/s1: conflict: the session is at version 2, not 1
}

// A step that reads from a cache or a replica sees what the step before it has
// written if it is given the bookmark; it may be asked to come again.
func ExampleBookmark() {
	ctx := context.Background()
	var store memory.InMemory
	session := memory.Key{User: "ada", Session: "s1"}
	receipt, err := store.Append(ctx, session, memory.Entry{Messages: []memory.Message{memory.Text("user", "Hello")}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	step := struct{ After memory.Bookmark }{receipt.Bookmark} // travels to the next step as JSON

	window, err := store.Open(ctx, session, &memory.WindowOptions{AtLeast: step.After})
	switch {
	case errors.Is(err, memory.ErrBehind):
		fmt.Println("not here yet: try again, or read without AtLeast")
	case err != nil:
		log.Fatal(err)
	default:
		fmt.Println(len(window.Records), "record")
	}
	// Output: 1 record
}

// Delete erases one session. A user is erased by Forget, which can be run again to
// show that nothing is left.
func ExampleForget() {
	ctx := context.Background()
	var store memory.InMemory
	ada := memory.Key{App: "travel", User: "ada"}
	for _, id := range []string{"s1", "s2"} {
		session := ada
		session.Session = id
		entry := memory.Entry{State: memory.Delta{Set: memory.States{User: memory.State{"home": "London"}}}}
		if _, err := store.Append(ctx, session, entry, nil); err != nil {
			log.Fatal(err)
		}
	}

	for range 2 {
		erased, err := memory.Forget(ctx, &store, ada)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%+v\n", erased)
	}
	// Output:
	// {Sessions:2 StateKeys:1}
	// {Sessions:0 StateKeys:0}
}

// A tool that died leaves its call without a result, which model APIs refuse.
// Messages answers the call, and says so; the records stay as they are.
func ExampleWindow_Messages() {
	ctx := context.Background()
	var store memory.InMemory
	session := memory.Key{User: "ada", Session: "s1"}
	call := memory.Part{Call: &memory.ToolCall{ID: "c1", Name: "book", Arguments: []byte(`{"train":"8:15"}`)}}
	for _, m := range []memory.Message{
		memory.Text("user", "Book the 8:15."),
		{Role: "assistant", Parts: []memory.Part{call}},
		memory.Text("user", "Are you still there?"),
	} {
		if _, err := store.Append(ctx, session, memory.Entry{Messages: []memory.Message{m}}, nil); err != nil {
			log.Fatal(err)
		}
	}

	window, err := store.Open(ctx, session, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("orphans:", len(window.Orphans))
	for _, m := range window.Messages() {
		switch p := m.Parts[0]; {
		case p.Call != nil:
			fmt.Println("call", p.Call.ID, p.Call.Name)
		case p.Result != nil:
			fmt.Println("result", p.Result.ID, string(p.Result.Content), m.Labels)
		default:
			fmt.Println(m.Role, p.Text)
		}
	}
	// Output:
	// orphans: 1
	// user Book the 8:15.
	// call c1 book
	// result c1 {"error":"no result was recorded"} map[synthetic:orphan tool call]
	// user Are you still there?
}

// A local program keeps its sessions in a file between runs.
func ExampleInMemory_Snapshot() {
	ctx := context.Background()
	var store memory.InMemory
	session := memory.Key{User: "ada", Session: "s1"}
	if _, err := store.Append(ctx, session, memory.Entry{Messages: []memory.Message{memory.Text("user", "Hello")}}, nil); err != nil {
		log.Fatal(err)
	}
	var file bytes.Buffer // an *os.File in a real program
	if err := store.Snapshot(&file); err != nil {
		log.Fatal(err)
	}

	var next memory.InMemory
	if err := next.Restore(&file); err != nil {
		log.Fatal(err)
	}
	window, err := next.Open(ctx, session, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(window.Records[0].Messages[0].Parts[0].Text)
	// Output: Hello
}
