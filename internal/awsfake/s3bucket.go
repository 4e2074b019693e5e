package awsfake

import (
	"encoding/xml"
	"net/http"
	"time"
)

// configure keeps a configuration as it is given, gives it back or removes it.
func (b *bucket) configure(w http.ResponseWriter, r *http.Request, subresource string) error {
	switch r.Method {
	case http.MethodPut:
		data, _, err := upload(r)
		if err != nil {
			return err
		}
		switch subresource {
		case "lifecycle":
			_, err = rules(data, b.directory)
			b.small = r.Header.Get(smallestHeader) == "varies_by_storage_class"
			b.aged = time.Time{} // what is due is due at once
		case "intelligent-tiering":
			err = tiered(data)
		}
		if err != nil {
			return err
		}
		b.config[subresource] = data
		return nil
	case http.MethodDelete:
		delete(b.config, subresource)
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	data, ok := b.config[subresource]
	if !ok {
		return &failure{http.StatusNotFound, configurations[subresource][1], "there is no " + subresource}
	}
	if b.small {
		w.Header().Set(smallestHeader, "varies_by_storage_class")
	}
	w.Header().Set("Content-Type", "application/xml")
	w.Write(data)
	return nil
}

type versioningConfiguration struct {
	XMLName xml.Name `xml:"VersioningConfiguration"`
	Status  string   `xml:",omitempty"`
}

func (b *bucket) setVersioning(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodGet {
		w.Header().Set("Content-Type", "application/xml")
		return xml.NewEncoder(w).Encode(versioningConfiguration{Status: b.versioning})
	}
	data, _, err := upload(r)
	if err != nil {
		return err
	}
	var asked versioningConfiguration
	if err := xml.Unmarshal(data, &asked); err != nil {
		return &failure{http.StatusBadRequest, "MalformedXML", err.Error()}
	}
	if asked.Status != "Enabled" && asked.Status != "Suspended" {
		return &failure{http.StatusBadRequest, "IllegalVersioningConfigurationException", asked.Status}
	}
	b.versioning = asked.Status
	return nil
}
