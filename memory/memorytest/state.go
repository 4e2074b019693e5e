package memorytest

import (
	"fmt"
	"math"
	"strings"

	"github.com/genaistore/genaistore/memory"
)

// set merges into the session's state by an Update.
func set(s memory.State) memory.SetState { return memory.SetState{Set: memory.States{Session: s}} }

func (f *fixture) state() memory.State {
	f.Helper()
	return f.open(nil).States.Session
}

var stateCases = []testCase{
	{"Set merges a key at a time, by Append and by Update", func(f *fixture) {
		f.append(memory.Entry{State: memory.Delta{Set: memory.States{Session: memory.State{"a": 1, "b": 1, "m": map[string]any{"x": 1, "y": 1}}}}}, nil)
		f.append(memory.Entry{State: memory.Delta{Set: memory.States{Session: memory.State{"b": 2, "m": map[string]any{"z": 2}}}}}, nil)
		f.update(set(memory.State{"c": 3}))
		f.equal(f.state(), memory.State{"a": 1.0, "b": 2.0, "c": 3.0, "m": map[string]any{"z": 2.0}}, "the state")
	}},
	{"nil is a value, and only Unset removes", func(f *fixture) {
		f.update(memory.Create{}, set(memory.State{"a": 1, "b": 2}))
		f.append(memory.Entry{State: memory.Delta{Set: memory.States{Session: memory.State{"a": nil}}, Unset: memory.Unset{Session: []string{"b", "never there"}}}}, nil)
		f.equal(f.state(), memory.State{"a": nil}, "the state after an Append")
		f.update(memory.SetState{Unset: memory.Unset{Session: []string{"a"}}})
		f.equal(f.state(), memory.State{}, "the state after an Update")
	}},
	{"Unset comes after Set", func(f *fixture) {
		f.append(memory.Entry{State: memory.Delta{Set: states("v"), Unset: memory.Unset{Session: []string{"k"}, User: []string{"k"}, App: []string{"k"}}}}, nil)
		none := memory.State{}
		f.equal(f.open(&memory.WindowOptions{Scopes: memory.AllStates}).States, memory.States{Session: none, User: none, App: none}, "the states")
	}},
	{"every type of number comes back as float64", func(f *fixture) {
		in := memory.State{
			"i": -1, "i8": int8(-8), "i64": int64(1) << 53, "u": uint(1), "u64": uint64(1) << 53, "f32": float32(0.5), "f": math.MaxFloat64, "tiny": 5e-324,
			"l": []any{1, uint8(2)}, "m": map[string]any{"n": int16(3)}, "s": memory.State{"x": 1},
		}
		f.append(memory.Entry{State: memory.Delta{Set: memory.States{Session: in}}}, nil)
		want := memory.State{
			"i": -1.0, "i8": -8.0, "i64": 9007199254740992.0, "u": 1.0, "u64": 9007199254740992.0, "f32": 0.5, "f": math.MaxFloat64, "tiny": 5e-324,
			"l": []any{1.0, 2.0}, "m": map[string]any{"n": 3.0}, "s": map[string]any{"x": 1.0},
		}
		f.equal(f.state(), want, "the state")
		f.equal(f.records(nil)[0].State.Set.Session, want, "the state in the record")
	}},
	{"values come back as they are, empty ones not nil", func(f *fixture) {
		in := memory.State{"s": "", "text": "a\x00\n\u2028<&>é", "b": false, "z": nil, "l": []any{}, "m": map[string]any{}, " key with / # % \n é": []any{nil, "x", true, map[string]any{"": 1.0}}}
		f.update(memory.Create{}, memory.SetState{Set: memory.States{Session: in, User: in, App: in}})
		f.equal(f.open(&memory.WindowOptions{Scopes: memory.AllStates}).States, memory.States{Session: in, User: in, App: in}, "the states")
	}},
	{"a value of another kind is invalid and changes nothing", func(f *fixture) {
		f.update(memory.Create{}, set(memory.State{"k": "old"}))
		deep := any("x")
		for range memory.MaxNesting {
			deep = []any{deep}
		}
		f.update(set(memory.State{"deep": deep}))
		before := f.state()
		for _, bad := range []any{
			struct{}{},
			[]string{"a"},
			[]byte("a"),
			map[string]string{},
			func() {}, complex(1, 1), new(1), math.NaN(), math.Inf(-1),
			int64(1)<<53 + 1, -int64(1)<<53 - 1, uint64(1)<<53 + 1, uint64(math.MaxUint64), "\xff",
			[]any{"\xff"},
			map[string]any{"\xff": 1},
			[]any{deep},
		} {
			f.refuseState(memory.State{"k": bad})
		}
		for _, key := range []string{"", "\xff", strings.Repeat("k", 1025)} {
			f.refuseState(memory.State{key: "v"})
			f.refuse(memory.ErrInvalid, memory.SetState{Unset: memory.Unset{Session: []string{key}}})
		}
		f.equal(f.state(), before, "the state")
		f.equal(len(f.records(nil)), 0, "records")
	}},
	{"a delta has at most MaxState bytes, and a state that an Update leaves behind", func(f *fixture) {
		f.update(memory.Create{}, memory.SetTitle{Title: "before"})
		half := strings.Repeat("x", memory.MaxState/2)
		rest := strings.Repeat("x", memory.MaxState-len(half)-len(`{"a":"","b":""}`))
		for _, scope := range []func(memory.State) memory.States{
			func(s memory.State) memory.States { return memory.States{Session: s} },
			func(s memory.State) memory.States { return memory.States{User: s} },
			func(s memory.State) memory.States { return memory.States{App: s} },
		} {
			f.append(memory.Entry{State: memory.Delta{Set: scope(memory.State{"a": half})}}, nil)
			f.refuse(memory.ErrInvalid, memory.SetTitle{Title: "after"}, memory.SetState{Set: scope(memory.State{"b": rest + "x"})})
			f.invalid(memory.Entry{State: memory.Delta{Set: scope(memory.State{"b": rest + half + half})}}, nil)
			f.update(memory.SetState{Set: scope(memory.State{"b": rest})})
			f.refuse(memory.ErrInvalid, memory.SetState{Set: scope(memory.State{"c": 1})})
			f.append(memory.Entry{State: memory.Delta{Set: scope(memory.State{"c": 1})}}, nil)
			f.refuse(memory.ErrInvalid, memory.SetState{Set: scope(memory.State{"d": 1})})
			grown := f.open(&memory.WindowOptions{Scopes: memory.AllStates}).States
			f.equal(len(scopeOf(grown, scope)), 3, "keys of a state that Appends have made larger")
			f.update(memory.SetState{Set: scope(memory.State{"a": nil, "c": 1})})
		}
		w := f.open(&memory.WindowOptions{Scopes: memory.AllStates})
		want := memory.State{"a": nil, "b": rest, "c": 1.0}
		f.equal(w.States, memory.States{Session: want, User: want, App: want}, "the states")
		f.equal(w.Head.Title, "before", "the title beside a state that was refused")
	}},
	{"a user's state is in all sessions of the user and in no other", func(f *fixture) {
		f.append(userState(), nil)
		other := f.other()
		other.update(memory.Create{})
		all := &memory.WindowOptions{Scopes: memory.AllStates}
		f.equal(other.open(all).States.User, memory.State{"k": "v"}, "the state in another session")
		f.equal(f.at(f.key.Owner()).open(nil).States.User, memory.State{"k": "v"}, "the state at the user's key")
		for _, k := range []memory.Key{
			{Tenant: f.key.Tenant, App: f.key.App, User: name("user")},
			{Tenant: f.key.Tenant, App: name("app"), User: f.key.User},
			{Tenant: name("tenant"), App: f.key.App, User: f.key.User},
		} {
			f.equal(f.at(k).open(nil).States.User, memory.State{}, "the state of another user")
		}
	}},
	{"an app's state is in all sessions of the app and in no other", func(f *fixture) {
		f.append(memory.Entry{State: memory.Delta{Set: memory.States{App: memory.State{"k": "v"}}}}, nil)
		key := f.key
		key.User = name("user")
		stranger := f.at(key)
		stranger.update(memory.Create{})
		f.equal(stranger.open(&memory.WindowOptions{Scopes: memory.AllStates}).States, memory.States{Session: memory.State{}, User: memory.State{}, App: memory.State{"k": "v"}}, "the states in another user's session")
		for _, k := range []memory.Key{{Tenant: f.key.Tenant, App: name("app")}, {Tenant: name("tenant"), App: f.key.App}} {
			f.equal(f.at(k).open(nil).States.App, memory.State{}, "the state of another app")
		}
	}},
	{"the states of session, user and app are separate", func(f *fixture) {
		want := memory.States{Session: memory.State{"k": 1.0, "user:k": 4.0}, User: memory.State{"k": 2.0}, App: memory.State{"k": 3.0}}
		f.append(memory.Entry{State: memory.Delta{Set: want}}, nil)
		f.update(memory.SetState{Unset: memory.Unset{Session: []string{"app:k"}}})
		f.equal(f.open(&memory.WindowOptions{Scopes: memory.AllStates}).States, want, "the states")
	}},
	{"of sixteen keys that are set at once none is lost", func(f *fixture) {
		f.update(memory.Create{})
		want := memory.State{}
		for i := range 16 {
			want[fmt.Sprint(i)] = float64(i)
		}
		f.race(16, func(i int) error {
			d := memory.Delta{Set: memory.States{Session: memory.State{fmt.Sprint(i): i}, User: memory.State{fmt.Sprint(i): i}, App: memory.State{fmt.Sprint(i): i}}}
			if i%2 == 0 {
				_, err := f.store.Update(f.Context(), f.key, memory.SetState(d))
				return err
			}
			_, err := f.store.Append(f.Context(), f.key, memory.Entry{State: d}, nil)
			return err
		}, nil)
		f.equal(f.open(&memory.WindowOptions{Scopes: memory.AllStates}).States, memory.States{Session: want, User: want, App: want}, "the states")
	}},
	{"the newest write wins a key", func(f *fixture) {
		for i := range 6 {
			if i%2 == 0 {
				f.append(memory.Entry{State: memory.Delta{Set: states(i)}}, nil)
			} else {
				f.update(memory.SetState{Set: states(i)})
			}
			f.equal(f.open(&memory.WindowOptions{Scopes: memory.AllStates}).States, states(float64(i)), "the states")
		}
	}},
}

// scopeOf returns the state in all that scope puts states into.
func scopeOf(all memory.States, scope func(memory.State) memory.States) memory.State {
	switch mark := scope(memory.State{}); {
	case mark.Session != nil:
		return all.Session
	case mark.User != nil:
		return all.User
	default:
		return all.App
	}
}

// refuseState tries s by Append and by Update.
func (f *fixture) refuseState(s memory.State) {
	f.Helper()
	_, err := f.store.Update(f.Context(), f.key, set(s))
	f.want(err, memory.ErrInvalid, "Update with the state %v", s)
	_, err = f.store.Append(f.Context(), f.key, memory.Entry{State: memory.Delta{Set: memory.States{Session: s}}}, nil)
	f.want(err, memory.ErrInvalid, "Append with the state %v", s)
}
