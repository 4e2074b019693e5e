package rag

// stem reduces an English word in lower case to the stem that its inflections
// and derivations share: "independence" and "independent" become "independ".
// It follows M. F. Porter, "An algorithm for suffix stripping" (1980), with the
// later change of its author that "logi" becomes "log". A word with anything
// but a to z is returned as it is.
func stem(word []byte) []byte {
	if len(word) < 3 {
		return word
	}
	for _, c := range word {
		if c < 'a' || c > 'z' {
			return word
		}
	}
	s := stemmer(word)
	s = s.plural().past()
	if s.ends("y") && s.hasVowel(len(s)-1) {
		s[len(s)-1] = 'i'
	}
	s = s.replace(doubleSuffixes).replace(singleSuffixes).strip()
	if s.ends("e") {
		if m := s.measure(len(s) - 1); m > 1 || m == 1 && !s.short(len(s)-1) {
			s = s[:len(s)-1]
		}
	}
	if s.ends("ll") && s.measure(len(s)-1) > 1 {
		s = s[:len(s)-1]
	}
	return s
}

// A stemmer is the word in work. Its methods take the length n of the prefix
// that they look at.
type stemmer []byte

// suffix and what it becomes.
type suffix struct{ from, to string }

// The second and third step of the algorithm. Where one suffix ends another,
// the longer stands first.
//
//nolint:gochecknoglobals // constant tables
var (
	doubleSuffixes = []suffix{
		{"ational", "ate"},
		{"tional", "tion"},
		{"enci", "ence"},
		{"anci", "ance"},
		{"izer", "ize"},
		{"bli", "ble"},
		{"alli", "al"},
		{"entli", "ent"},
		{"eli", "e"},
		{"ousli", "ous"},
		{"ization", "ize"},
		{"ation", "ate"},
		{"ator", "ate"},
		{"alism", "al"},
		{"iveness", "ive"},
		{"fulness", "ful"},
		{"ousness", "ous"},
		{"aliti", "al"},
		{"iviti", "ive"},
		{"biliti", "ble"},
		{"logi", "log"},
	}
	singleSuffixes = []suffix{
		{"icate", "ic"}, {"ative", ""}, {"alize", "al"}, {"iciti", "ic"}, {"ical", "ic"}, {"ful", ""}, {"ness", ""},
	}
	lastSuffixes = []string{
		"al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou", "ism",
		"ate", "iti", "ous", "ive", "ize",
	}
)

func (s stemmer) ends(with string) bool {
	return len(s) > len(with) && string(s[len(s)-len(with):]) == with
}

func (s stemmer) consonant(i int) bool {
	switch s[i] {
	case 'a', 'e', 'i', 'o', 'u':
		return false
	case 'y':
		return i == 0 || !s.consonant(i-1)
	}
	return true
}

// measure counts the vowels that a consonant follows, which stands for the
// syllables of the prefix.
func (s stemmer) measure(n int) int {
	m := 0
	for i := 1; i < n; i++ {
		if s.consonant(i) && !s.consonant(i-1) {
			m++
		}
	}
	return m
}

func (s stemmer) hasVowel(n int) bool {
	for i := range n {
		if !s.consonant(i) {
			return true
		}
	}
	return false
}

// short reports whether the prefix ends consonant, vowel, consonant, the last
// not w, x or y: what loses an e ("hop" of "hope").
func (s stemmer) short(n int) bool {
	return n > 2 && s.consonant(n-1) && !s.consonant(n-2) && s.consonant(n-3) &&
		s[n-1] != 'w' && s[n-1] != 'x' && s[n-1] != 'y'
}

func (s stemmer) plural() stemmer {
	switch {
	case s.ends("sses"), s.ends("ies"):
		return s[:len(s)-2]
	case s.ends("s") && !s.ends("ss"):
		return s[:len(s)-1]
	}
	return s
}

func (s stemmer) past() stemmer {
	if s.ends("eed") {
		if s.measure(len(s)-3) > 0 {
			s = s[:len(s)-1]
		}
		return s
	}
	n := len(s)
	switch {
	case s.ends("ed") && s.hasVowel(n-2):
		s = s[:n-2]
	case s.ends("ing") && s.hasVowel(n-3):
		s = s[:n-3]
	default:
		return s
	}
	n = len(s)
	switch {
	case s.ends("at"), s.ends("bl"), s.ends("iz"):
		return append(s, 'e')
	case n > 1 && s[n-1] == s[n-2] && s.consonant(n-1) && s[n-1] != 'l' && s[n-1] != 's' && s[n-1] != 'z':
		return s[:n-1]
	case s.measure(n) == 1 && s.short(n):
		return append(s, 'e')
	}
	return s
}

// replace exchanges the first suffix of the table that ends the word, if a
// syllable is left before it.
func (s stemmer) replace(table []suffix) stemmer {
	for _, suffix := range table {
		if s.ends(suffix.from) {
			if n := len(s) - len(suffix.from); s.measure(n) > 0 {
				return append(s[:n], suffix.to...)
			}
			return s
		}
	}
	return s
}

// strip removes a last suffix, if two syllables are left before it.
func (s stemmer) strip() stemmer {
	for _, suffix := range lastSuffixes {
		if !s.ends(suffix) {
			continue
		}
		n := len(s) - len(suffix)
		if s.measure(n) > 1 && (suffix != "ion" || s[n-1] == 's' || s[n-1] == 't') {
			return s[:n]
		}
		return s
	}
	return s
}
