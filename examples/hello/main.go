// Command hello keeps a conversation in this process and reads it back as a
// model call needs it.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/genaistore/genaistore/memory"
)

func main() {
	ctx, store := context.Background(), new(memory.InMemory)
	session := memory.Key{User: "ada", Session: "s1"}
	for _, said := range []memory.Message{memory.Text("user", "What is the capital of Namibia?"), memory.Text("assistant", "Windhoek.")} {
		if _, err := store.Append(ctx, session, memory.Entry{Messages: []memory.Message{said}}, nil); err != nil {
			log.Fatal(err)
		}
	}
	window, err := store.Open(ctx, session, &memory.WindowOptions{Tokens: 4000}) // the newest messages that fit
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range window.Messages() {
		fmt.Println(m.Role+":", m.Parts[0].Text)
	}
}
