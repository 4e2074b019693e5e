package memory

import (
	"context"
	"strings"
	"unicode"
)

// Lexicon is an [Enricher] for tests, examples and offline runs: it counts words
// on short lists, always to the same end, and calls nobody. Real conversations need
// a model, such as package comprehend. The zero value is ready.
//
// It knows English and tells it from Arabic, Chinese, French, German, Hindi,
// Japanese, Korean, Russian and Spanish; what it cannot tell is "und". English has a
// sentiment, the balance of praise and complaint, and one of the intents of
// [LexiconIntents]; other texts are a question where they end like one, else a
// statement. Notes.Model is "lexicon:1".
type Lexicon struct{}

var _ Enricher = Lexicon{}

// LexiconIntents returns the intents that a [Lexicon] finds.
func LexiconIntents() []string {
	return []string{"complaint", "greeting", "question", "statement", "thanks"}
}

// Enrich implements [Enricher].
func (l Lexicon) Enrich(ctx context.Context, texts []string) ([]Finding, error) {
	findings := make([]Finding, len(texts))
	for i, text := range texts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		findings[i].Notes = l.notes(text)
	}
	return findings, nil
}

func (Lexicon) notes(text string) Notes {
	text = strings.TrimSpace(text)
	if text == "" {
		return Notes{}
	}
	words := strings.FieldsFunc(strings.ToLower(strings.ReplaceAll(text, "’", "'")), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.Is(unicode.Mn, r) && !unicode.Is(unicode.Mc, r) && r != '\''
	})
	notes := Notes{Language: language(text, words), Model: "lexicon:1", Intent: "statement"}
	asks := strings.HasSuffix(text, "?") || strings.HasSuffix(text, "？") || strings.HasSuffix(text, "؟")
	if notes.Language != "en" {
		if asks {
			notes.Intent = "question"
		}
		return notes
	}
	score := balance(words)
	notes.Sentiment = &score
	switch first := words[0]; {
	case asks || in(asking, first):
		notes.Intent = "question"
	case score < 0:
		notes.Intent = "complaint"
	case in(thanking, first):
		notes.Intent = "thanks"
	case in(greeting, first):
		notes.Intent = "greeting"
	}
	return notes
}

// Words by what they tell, between blanks. Those of a language are few and common,
// and none is on two lists.
const (
	praise    = " good great excellent helpful nice love loved like thanks thank perfect wonderful amazing clear useful correct right best happy fine brilliant works "
	complaint = " bad wrong terrible useless awful hate hated poor confusing unclear incorrect worst angry broken missing stupid slow disappointing disappointed "
	negating  = " not no never isn't wasn't don't doesn't didn't hardly can't won't "
	greeting  = " hello hi hey greetings morning evening "
	thanking  = " thanks thank "
	asking    = " who what when where which why how whose whom is are was were do does did can could will would should has have name list tell explain describe show give compare "

	english = " the and to of it i you my this that for with but your we be at by from please yes about "
	german  = " der das und ich nicht ist ein eine wie mein zu mit für auf sie wir bitte danke wo warum "
	french  = " le les et je pas est une mon vous avec pour merci où pourquoi dans des du c'est "
	spanish = " el los y yo es una mi con para por gracias dónde qué cómo está del muy "
)

func in(list, word string) bool { return strings.Contains(list, " "+word+" ") }

// balance is praise and complaint from 1 to -1; a negation turns the two words
// after it around.
func balance(words []string) float64 {
	sum, hits := 0.0, 0.0
	negated := 0
	for _, w := range words {
		sign := 0.0
		switch {
		case in(complaint, w):
			sign = -1
		case in(praise, w):
			sign = 1
		}
		if negated > 0 {
			sign, negated = -sign, negated-1
		}
		if in(negating, w) {
			negated = 2
		}
		if sign != 0 {
			sum, hits = sum+sign, hits+1
		}
	}
	if hits == 0 {
		return 0
	}
	return sum / hits
}

// language tells by the script and, where it is Latin, by common words.
func language(text string, words []string) string {
	if tag := script(text); tag != "" {
		return tag
	}
	best, most := "und", 0
	for _, known := range []struct{ tag, list string }{
		{"en", english + praise + complaint + negating + greeting + asking}, {"de", german}, {"es", spanish}, {"fr", french},
	} {
		hits := 0
		for _, w := range words {
			if in(known.list, w) {
				hits++
			}
		}
		if hits > most {
			best, most = known.tag, hits
		}
	}
	return best
}

func script(text string) string {
	chinese := ""
	for _, r := range text {
		switch {
		case unicode.In(r, unicode.Hiragana, unicode.Katakana):
			return "ja"
		case unicode.Is(unicode.Hangul, r):
			return "ko"
		case unicode.Is(unicode.Cyrillic, r):
			return "ru"
		case unicode.Is(unicode.Arabic, r):
			return "ar"
		case unicode.Is(unicode.Devanagari, r):
			return "hi"
		case unicode.Is(unicode.Han, r):
			chinese = "zh" // unless kana follow
		}
	}
	return chinese
}
