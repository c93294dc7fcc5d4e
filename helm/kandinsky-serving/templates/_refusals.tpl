{{/* What the schema cannot compare: numbers with each other, and names across tiers. */}}
{{- define "kandinsky.refuse" -}}
{{- $accounts := dict -}}
{{- range $tier := list "gateway" "prior" "decoder" -}}
{{- $values := get $.Values $tier -}}
{{- with $values.autoscaling -}}
{{- if gt (int .minReplicas) (int .maxReplicas) -}}
{{- fail (printf "kandinsky-serving: %s.autoscaling.minReplicas is %v; it must be at most maxReplicas, which is %v" $tier .minReplicas .maxReplicas) -}}
{{- end -}}
{{- end -}}
{{- with $values.ports -}}
{{- if lt (len (uniq (list (int .grpc) (int .health) (int .metrics)))) 3 -}}
{{- fail (printf "kandinsky-serving: %s.ports: grpc, health and metrics must be three different ports" $tier) -}}
{{- end -}}
{{- end -}}
{{- $variables := list -}}
{{- range $values.extraEnv -}}
{{- $variables = append $variables .name -}}
{{- end -}}
{{- if lt (len (uniq $variables)) (len $variables) -}}
{{- fail (printf "kandinsky-serving: %s.extraEnv sets a variable twice" $tier) -}}
{{- end -}}
{{- $spread := list -}}
{{- range $values.topologySpread -}}
{{- $spread = append $spread (printf "%s %s" .topologyKey .whenUnsatisfiable) -}}
{{- end -}}
{{- if lt (len (uniq $spread)) (len $spread) -}}
{{- fail (printf "kandinsky-serving: %s.topologySpread has a topologyKey twice for the same whenUnsatisfiable" $tier) -}}
{{- end -}}
{{- if $values.serviceAccount.create -}}
{{- $account := include "kandinsky.serviceAccount" (dict "root" $ "tier" $tier) -}}
{{- if hasKey $accounts $account -}}
{{- fail (printf "kandinsky-serving: %s.serviceAccount.name is also another tier's; set create to false in all but one of them" $tier) -}}
{{- end -}}
{{- $_ := set $accounts $account true -}}
{{- end -}}
{{- end -}}
{{- end }}
