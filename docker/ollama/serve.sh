#!/bin/sh
# Serves at once, and fetches the model beside that when it is not there: nobody waits for gigabytes.

fetch() {
  until ollama list >/dev/null 2>&1; do sleep 1; done
  until ollama show "$OLLAMA_MODEL" >/dev/null 2>&1; do
    echo "fetching the model $OLLAMA_MODEL; until it is there, rules give the advice"
    if ollama pull "$OLLAMA_MODEL" >/tmp/pull 2>&1; then
      echo "the model $OLLAMA_MODEL is there"
    else
      echo "the model $OLLAMA_MODEL cannot be fetched, next try in a minute: $(tail -n 1 /tmp/pull)"
      sleep 60
    fi
  done
}

fetch &
exec ollama serve
