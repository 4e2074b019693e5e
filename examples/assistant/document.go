package main

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/genaistore/genaistore/vectors/rag"
)

// builtIn is the corpus that the assistant knows without documents of yours: an
// extract of The World Factbook, in the public domain.
//
//go:embed corpus/factbook_passages.json
var builtIn embed.FS

const (
	builtInName = "factbook"
	builtInPath = "corpus/factbook_passages.json"
)

// maxDocument bounds what one document may take of memory.
const maxDocument = 64 << 20

// chunkSize is the characters of a chunk: longer ones blur in word vectors.
const chunkSize = 700

// A passage is one piece of a document as the index holds it.
type passage struct {
	key    string
	source string
	title  string
	text   string
	hash   string
}

// content is what is embedded and indexed.
func (p passage) content() string { return p.title + "\n" + p.text }

// An entry is one element of a JSON document: a passage that somebody
// has cut already. Text is needed; ID is what citations call it.
type entry struct {
	ID, Title, Country, Section, Text string
}

// readDocuments reads and cuts every document that paths name. Directories are
// walked; files in them that are no documents are left out and counted. It
// reads all before it returns any, so that a bad file stops the whole.
func readDocuments(paths []string) (passages []passage, skipped int, err error) {
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, 0, fmt.Errorf("%w: name files or folders that exist", plain(err))
		}
		if !info.IsDir() {
			cut, err := readDocument(path)
			if err != nil {
				return nil, 0, err
			}
			passages = append(passages, cut...)
			continue
		}
		cut, left, err := readFolder(path)
		if err != nil {
			return nil, 0, err
		}
		passages, skipped = append(passages, cut...), skipped+left
	}
	if len(passages) == 0 {
		return nil, skipped, fmt.Errorf("nothing to read in %s: documents are .md, .txt and .json files with text in them", strings.Join(paths, " "))
	}
	return passages, skipped, nil
}

// plain drops the operation from a file error, which names the file anyway.
func plain(err error) error {
	if perr, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%s: %w", perr.Path, perr.Err)
	}
	return err
}

func readFolder(root string) (passages []passage, skipped int, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return plain(err)
		case d.IsDir() && path != root && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case d.IsDir():
			return nil
		case !d.Type().IsRegular() || !isDocument(path):
			skipped++
			return nil
		}
		cut, err := readDocument(path)
		passages = append(passages, cut...)
		return err
	})
	return passages, skipped, err
}

func isDocument(path string) bool {
	return slices.Contains([]string{".md", ".markdown", ".txt", ".json"}, strings.ToLower(filepath.Ext(path)))
}

func readDocument(path string) ([]passage, error) {
	if !isDocument(path) {
		return nil, fmt.Errorf("%s is no document: Markdown (.md), text (.txt) or JSON passages (.json)", path)
	}
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxDocument {
		return nil, fmt.Errorf("%s has %d bytes: split it into documents of at most %d", path, info.Size(), maxDocument)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, plain(err)
	}
	return cutDocument(filepath.ToSlash(filepath.Clean(path)), data)
}

// cutDocument cuts one document into passages, by what its name says it is.
func cutDocument(source string, data []byte) ([]passage, error) {
	if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		return nil, fmt.Errorf("%s is binary: documents are UTF-8 text", source)
	}
	title := strings.TrimSuffix(filepath.Base(source), filepath.Ext(source))
	var chunks []rag.Chunk
	var err error
	switch strings.ToLower(filepath.Ext(source)) {
	case ".json":
		return cutJSON(source, data)
	case ".txt":
		chunks, err = rag.Paragraphs(source, string(data), &rag.ChunkOptions{Title: title, Size: chunkSize})
	default:
		chunks, err = rag.Markdown(source, string(data), &rag.ChunkOptions{Title: title, Size: chunkSize})
	}
	if err != nil {
		return nil, err
	}
	passages := make([]passage, len(chunks))
	for i, c := range chunks {
		passages[i] = passage{key: c.ID, source: source, title: c.Section, text: c.Text, hash: c.Hash}
	}
	return passages, nil
}

func cutJSON(source string, data []byte) ([]passage, error) {
	var entries []entry
	if err := json.Unmarshal(data, &entries); err != nil {
		return nil, fmt.Errorf("%s is no list of passages like [{\"id\": …, \"title\": …, \"text\": …}]: %w", source, err)
	}
	passages := make([]passage, 0, len(entries))
	seen := map[string]bool{}
	for i, e := range entries {
		e = e.withDefaults(i)
		if strings.TrimSpace(e.Text) == "" || seen[e.ID] {
			return nil, fmt.Errorf("%s: passage %d (%s): it needs text, and an id of its own", source, i+1, e.ID)
		}
		seen[e.ID] = true
		key := source + "#" + e.ID
		chunks, err := rag.Paragraphs(key, e.Text, &rag.ChunkOptions{Title: e.Title, Size: chunkSize})
		if err != nil {
			return nil, err
		}
		for n, c := range chunks {
			p := passage{key: key, source: source, title: e.Title, text: c.Text, hash: c.Hash}
			if n > 0 {
				p.key = fmt.Sprintf("%s#%d", key, n+1)
			}
			passages = append(passages, p)
		}
	}
	return passages, nil
}

// withDefaults names an entry that has no id or title; index counts from 0.
func (e entry) withDefaults(index int) entry {
	if e.ID == "" {
		e.ID = strconv.Itoa(index + 1)
	}
	if e.Title == "" {
		e.Title = strings.Trim(e.Country+", "+e.ID[strings.IndexByte(e.ID, '/')+1:], ", ")
	}
	return e
}

// readBuiltIn cuts the built-in corpus.
func readBuiltIn() ([]passage, error) {
	data, err := builtIn.ReadFile(builtInPath)
	if err != nil {
		return nil, err
	}
	passages, err := cutJSON(builtInName, data)
	return passages, err
}
