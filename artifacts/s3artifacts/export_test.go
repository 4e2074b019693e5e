package s3artifacts

// A Mutant is a store that leaves out one safeguard of the protocol.
type Mutant string

// The mutants.
const (
	NoCheck  Mutant = "a publisher ignores what was condemned"
	NoNonce  Mutant = "a key is used again for the same content"
	NoDup    Mutant = "a write without an answer counts as lost"
	Unfenced Mutant = "a collector commits what it decided on an older log"
	Forgets  Mutant = "a publisher ignores what was condemned and swept"
	Late     Mutant = "a collector counts the log after it asked what is in use"
)

// Mutants are all of them.
func Mutants() []Mutant { return []Mutant{NoCheck, NoNonce, NoDup, Unfenced, Forgets, Late} }

// Mutate leaves out a safeguard, and makes snapshots frequent.
func (s *Store) Mutate(m Mutant) {
	s.every, s.least = 4, 1
	s.skip = safeguards{condemned: m == NoCheck, nonce: m == NoNonce, readback: m == NoDup, fenced: m == Unfenced, swept: m == Forgets, number: m == Late}
}
