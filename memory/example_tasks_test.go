package memory_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/genaistore/genaistore/memory"
)

// Messages are annotated after the answer has gone out, by a step of its own that may
// be repeated: it goes on with what has no notes yet.
func ExampleEnrich() {
	ctx := context.Background()
	var store memory.InMemory
	session := memory.Key{App: "shop", User: "ada", Session: "s1"}
	for _, text := range []string{"Where is my parcel?", "This is the wrong one, and it is broken!", "Thanks, that was great"} {
		if _, err := store.Append(ctx, session, memory.Entry{Messages: []memory.Message{memory.Text("user", text)}}, nil); err != nil {
			log.Fatal(err)
		}
	}

	// In production, one of package comprehend.
	done, err := memory.Enrich(ctx, &store, session, memory.Lexicon{}, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("annotated:", done.Annotated)
	// The unhappiest first: whom to call back.
	for r, err := range store.Records(ctx, session, &memory.RangeOptions{BySentiment: true}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%+.0f %s: %s\n", *r.Notes.Sentiment, r.Notes.Intent, r.Messages[0].Parts[0].Text)
	}
	// Output:
	// annotated: 3
	// -1 complaint: This is the wrong one, and it is broken!
	// +0 question: Where is my parcel?
	// +1 thanks: Thanks, that was great
}

// An Enricher is any model that reads texts; one text that fails must not cost the
// others.
func ExampleEnricher() {
	ctx := context.Background()
	findings, err := memory.Lexicon{}.Enrich(ctx, []string{"Hello there", "Wo ist das Paket?", "   "})
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range findings {
		fmt.Printf("%q %q\n", f.Notes.Language, f.Notes.Intent)
	}
	// Output:
	// "en" "greeting"
	// "de" "question"
	// "" ""
}

// What a user said in the last week, by day, for a chart.
func ExampleCountIntents() {
	ctx := context.Background()
	var store memory.InMemory
	session := memory.Key{App: "shop", User: "ada", Session: "s1"}
	for _, text := range []string{"Where is my parcel?", "What is in it?", "This is the wrong one!"} {
		if _, err := store.Append(ctx, session, memory.Entry{Messages: []memory.Message{memory.Text("user", text)}}, nil); err != nil {
			log.Fatal(err)
		}
	}
	if _, err := memory.Enrich(ctx, &store, session, memory.Lexicon{}, nil); err != nil {
		log.Fatal(err)
	}

	week := memory.Query{App: "shop", Since: time.Now().AddDate(0, 0, -6)}
	for count, err := range memory.CountIntents(ctx, &store, week, "question", "complaint") {
		if err != nil {
			log.Fatal(err)
		}
		if count.Records > 0 {
			fmt.Println(count.Intent, count.Records)
		}
	}
	// Output:
	// question 2
	// complaint 1
}

// A session moves to another store, or to another user's key. A repeat after an error
// goes on where it stopped.
func ExampleImport() {
	ctx := context.Background()
	var old, fresh memory.InMemory
	session := memory.Key{App: "travel", User: "ada", Session: "s1"}
	for _, text := range []string{"Where is Lovelace buried?", "And Babbage?"} {
		if _, err := old.Append(ctx, session, memory.Entry{Messages: []memory.Message{memory.Text("user", text)}}, nil); err != nil {
			log.Fatal(err)
		}
	}
	var lines strings.Builder
	if _, err := memory.Export(ctx, &old, session, &lines); err != nil {
		log.Fatal(err)
	}

	for range 2 {
		done, err := memory.Import(ctx, &fresh, strings.NewReader(lines.String()), nil)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("stored:", done.Records, "known:", done.Known)
	}
	window, err := fresh.Open(ctx, session, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range window.Messages() {
		fmt.Println(m.Parts[0].Text)
	}
	// Output:
	// stored: 2 known: 0
	// stored: 0 known: 2
	// Where is Lovelace buried?
	// And Babbage?
}

// All that a user has said, as lines of JSON: for whoever asks for their data, or to
// make a dataset of.
func ExampleExportAll() {
	ctx := context.Background()
	var store memory.InMemory
	for _, session := range []string{"s1", "s2"} {
		key := memory.Key{App: "travel", User: "ada", Session: session}
		if _, err := store.Append(ctx, key, memory.Entry{Messages: []memory.Message{memory.Text("user", "Hello")}}, nil); err != nil {
			log.Fatal(err)
		}
	}
	file, err := os.CreateTemp("", "export")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(file.Name())
	done, err := memory.ExportAll(ctx, &store, memory.Query{App: "travel", User: "ada"}, file)
	if err != nil {
		log.Fatal(err)
	}
	if err := file.Close(); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%+v\n", done)
	// Output: {Sessions:2 Records:2}
}

// A long session keeps its beginning as a gist. The model here is a stand-in that
// counts.
func ExampleSummarize() {
	ctx := context.Background()
	var store memory.InMemory
	session := memory.Key{App: "travel", User: "ada", Session: "s1"}
	for turn := range 5 {
		for _, role := range []string{"user", "assistant"} {
			entry := memory.Entry{Turn: fmt.Sprint(turn), Messages: []memory.Message{memory.Text(role, fmt.Sprintf("%s in turn %d", role, turn))}}
			if _, err := store.Append(ctx, session, entry, nil); err != nil {
				log.Fatal(err)
			}
		}
	}

	model := func(_ context.Context, previous memory.Gist, messages []memory.Message) (string, int, error) {
		return strings.TrimSpace(fmt.Sprintf("%s %d messages were said.", previous.Text, len(messages))), 5, nil
	}
	done, err := memory.Summarize(ctx, &store, session, model, &memory.SummarizeOptions{Keep: 3})
	if err != nil {
		log.Fatal(err)
	}
	window, err := store.Open(ctx, session, &memory.WindowOptions{Last: done.Left})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(window.Gist.Text)
	for _, m := range window.Messages() {
		fmt.Println(m.Parts[0].Text)
	}
	// Output:
	// 6 messages were said.
	// user in turn 3
	// assistant in turn 3
	// user in turn 4
	// assistant in turn 4
}
