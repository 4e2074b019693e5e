package dynamomemory_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
)

// A caller is a process of the model: one attempt to append under the request id of
// all of them. Its requests wait at the gate for the search to decide.
type caller struct {
	number int
	store  *dynamomemory.Store
	status status
	parked *request // what it waits with, nil while it runs

	receipt memory.Receipt
	err     error
	ended   bool

	history []string // until it first writes the marker: what it has heard
	made    string   // the id that it has made last
	judged  string   // how far the reader had got when it last looked what is under an id
	told    string   // the last record that its store had returned when it began
	nonce   string

	// What a mutant keeps of it: the ids that it has made up, and a request that it
	// sends later.
	alias map[string]string
	later *dynamodb.PutItemInput
}

type status uint8

const (
	idle status = iota
	running
	done // with a receipt
	gone // dead, or with an error: nobody knows what it has done
)

// A request is one that was sent, and can be carried out at any time.
type request struct {
	from      *caller
	operation string
	body      string
	sent      *http.Request
	data      []byte
	judged    string
	verdict   chan verdict
}

type verdict struct {
	response *http.Response
	answer   string
	err      error
}

func (r *request) writes() bool { return writes(r.sent) }

// item returns an attribute of the item that r puts, or of the key that it names.
func (r *request) item(attribute string) string {
	var in struct{ Item, Key map[string]struct{ S string } }
	if err := json.Unmarshal(r.data, &in); err != nil {
		return ""
	}
	return in.Item[attribute].S + in.Key[attribute].S
}

// stores returns the id of the record that r puts, or "".
func (r *request) stores() string {
	if id, ok := strings.CutPrefix(r.item("sk"), "E#"); ok && r.operation == "PutItem" && r.item("k") == "" {
		return id
	}
	return ""
}

func (r *request) marks() bool {
	return r.operation == "PutItem" && strings.HasPrefix(r.item("sk"), "K#")
}

// String is what tells r from other requests.
func (r *request) String() string {
	judged := ""
	if id := r.stores(); id != "" && r.judged != "" {
		judged = fmt.Sprint(gap(r.judged, id) >= overlap)
	}
	return r.operation + r.body + judged
}

// heard keeps what p has heard before it first writes the marker. Afterwards all that
// it knows is the id that it has made last, and what is in the request that it waits
// with: each round of the protocol begins with a new id and forgets the one before.
func (p *caller) heard(answer string) {
	if p.made == "" {
		p.history = append(p.history, p.parked.operation+p.parked.body+answer)
	}
}

// inOrder sorts the fields of JSON, which the client writes in any order.
func inOrder(data []byte) string {
	var any any
	if err := json.Unmarshal(data, &any); err != nil {
		return string(data)
	}
	sorted, err := json.Marshal(any)
	if err != nil {
		return string(data)
	}
	return string(sorted)
}

type callerKey struct{}

// Do implements the HTTPClient of the client that all callers share.
func (w *world) Do(sent *http.Request) (*http.Response, error) {
	p, ok := sent.Context().Value(callerKey{}).(*caller)
	if !ok {
		return w.fake.Do(sent)
	}
	data, err := io.ReadAll(sent.Body)
	if err != nil {
		return nil, err
	}
	r := &request{from: p, operation: awsfake.Operation(sent), body: inOrder(data), sent: sent, data: data, verdict: make(chan verdict)}
	if !w.arrives(p, r) {
		return nil, errKilled
	}
	v := <-r.verdict
	return v.response, v.err
}

// arrives has p wait with r, unless it is dead.
func (w *world) arrives(p *caller, r *request) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.status == gone {
		return false
	}
	r.judged = p.judged
	if r.marks() {
		p.history, p.made = nil, r.item("i")
	}
	for _, id := range idPattern.FindAllString(r.body, -1) {
		if _, seen := w.minter[id]; !seen {
			w.minter[id] = p
		}
	}
	if n := noncePattern.FindStringSubmatch(r.body); n != nil && p.nonce == "" {
		p.nonce = n[1]
	}
	p.parked = r
	return true
}

// carryOut has the fake answer r, and looks at what that has done.
func (w *world) carryOut(r *request) verdict {
	again := r.sent.Clone(context.WithoutCancel(r.sent.Context()))
	again.Body = io.NopCloser(bytes.NewReader(r.data))
	response, err := w.fake.Do(again)
	if err != nil {
		w.fail("the fake: %v", err)
		return verdict{err: err}
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		w.fail("the fake: %v", err)
		return verdict{err: err}
	}
	response.Body = io.NopCloser(bytes.NewReader(answer))
	if id := r.stores(); id != "" && response.StatusCode == http.StatusOK {
		w.appeared(r, id)
	}
	return verdict{response, string(answer), nil}
}

// answered lets the caller of r go on with the answer.
func (w *world) answered(p *caller) {
	r := p.parked
	v := w.carryOut(r)
	if r.operation == "BatchGetItem" {
		p.judged = w.passed
	}
	p.heard(v.answer)
	p.parked = nil
	r.verdict <- v
}

var errNoAnswer = errors.New("connection reset")

// unanswered lets it go on without one: what it asked for is done later, or never.
func (w *world) unanswered(p *caller) {
	r := p.parked
	w.flying = append(w.flying, r)
	p.heard("no answer")
	p.parked = nil
	r.verdict <- verdict{err: errNoAnswer}
}

// dies ends the caller; what it has asked for last may still be done.
func (w *world) dies(p *caller) {
	r := p.parked
	if r.writes() {
		w.flying = append(w.flying, r)
	}
	p.status, p.parked = gone, nil
	r.verdict <- verdict{err: errKilled}
}

func (w *world) lands(i int) {
	r := w.flying[i]
	w.flying = slices.Delete(w.flying, i, i+1)
	w.carryOut(r)
}

// futile drops the requests that can change nothing any more: records, tombstones and
// the marker are put where nothing is, and a marker is moved on from an id that it does
// not come back to.
func (w *world) futile() {
	if len(w.flying) == 0 {
		return
	}
	there := map[string]string{}
	for _, it := range w.items() {
		there[it["sk"].S] = it["i"].S
	}
	w.flying = slices.DeleteFunc(w.flying, func(r *request) bool {
		sk := r.item("sk")
		at, found := there[sk]
		switch {
		case r.operation == "PutItem" && (strings.HasPrefix(sk, "E#") || strings.HasPrefix(sk, "K#")) && strings.Contains(r.body, "attribute_not_exists"):
			return found
		case r.operation == "UpdateItem" && strings.HasPrefix(sk, "K#"):
			return found && strings.Contains(r.body, "ConditionExpression") && strings.Count(r.body, at) == 0
		}
		return false
	})
}
