{{/* Names, labels and images. Most take a dict: root (the chart's context) and tier (gateway, prior or decoder). */}}

{{- define "kandinsky.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* At most 40 characters: every name made of it stays within the 63 of a Service. */}}
{{- define "kandinsky.fullname" -}}
{{- $name := include "kandinsky.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- /* A release's name may begin with a digit, a Service's may not. */ -}}
{{- $full = regexReplaceAll "^([0-9])" $full "k${1}" -}}
{{ default $full .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "kandinsky.tierName" -}}
{{ include "kandinsky.fullname" .root }}-{{ .tier }}
{{- end }}

{{/* The pods of all tiers; the download's pods have another name. */}}
{{- define "kandinsky.selector" -}}
app.kubernetes.io/name: {{ include "kandinsky.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "kandinsky.tierSelector" -}}
{{ include "kandinsky.selector" .root }}
app.kubernetes.io/component: {{ .tier }}
{{- end }}

{{/* What every object carries beside its selector's labels. */}}
{{- define "kandinsky.commonLabels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "kandinsky.labels" -}}
{{ include "kandinsky.selector" . }}
{{ include "kandinsky.commonLabels" . }}
{{- end }}

{{/* Takes a dict: root and labels, which win over commonLabels. */}}
{{- define "kandinsky.labelsWith" -}}
{{- $all := include "kandinsky.labels" .root | fromYaml -}}
{{ toYaml (mustMergeOverwrite $all .labels) }}
{{- end }}

{{- define "kandinsky.tierLabels" -}}
{{ include "kandinsky.tierSelector" . }}
{{ include "kandinsky.commonLabels" .root }}
{{- end }}

{{/* A tier's values, with what global.demo sets, as JSON. */}}
{{- define "kandinsky.tier" -}}
{{- $values := deepCopy (get .root.Values .tier) -}}
{{- if .root.Values.global.demo -}}
{{- $memory := ternary "512Mi" "3Gi" (eq .tier "gateway") -}}
{{- $demo := dict "replicas" 1 "device" "CPU" "resources" (dict "cpu" "500m" "memory" $memory) -}}
{{- $values = mustMergeOverwrite $values $demo -}}
{{- end -}}
{{- $tag := .root.Chart.AppVersion -}}
{{- if ne .tier "gateway" -}}
{{- $tag = printf "%s-%s" $tag (ternary "cann" "cpu" (eq $values.device "Ascend")) -}}
{{- end -}}
{{- $image := $values.image -}}
{{- $reference := printf "%s:%s" $image.repository (default $tag $image.tag) -}}
{{- if $image.digest -}}
{{- $reference = printf "%s@%s" $image.repository $image.digest -}}
{{- end -}}
{{ toJson (set $values "imageReference" $reference) }}
{{- end }}

{{- define "kandinsky.serviceAccount" -}}
{{- $account := (get .root.Values .tier).serviceAccount -}}
{{- if $account.name -}}
{{ $account.name }}
{{- else if $account.create -}}
{{ include "kandinsky.tierName" . }}
{{- else -}}
default
{{- end -}}
{{- end }}

{{/* The DNS names of a tier's Service, shortest first. The first is what gateways call workers by. */}}
{{- define "kandinsky.serviceNames" -}}
{{- $name := include "kandinsky.tierName" . -}}
{{- $namespace := .root.Release.Namespace -}}
- {{ $name }}
- {{ $name }}.{{ $namespace }}
- {{ $name }}.{{ $namespace }}.svc
- {{ $name }}.{{ $namespace }}.svc.{{ .root.Values.clusterDomain }}
{{- end }}

{{/* The name in the gateways' client certificate. */}}
{{- define "kandinsky.gatewayIdentity" -}}
{{- $default := printf "%s-gateway.%s.svc" (include "kandinsky.fullname" .) .Release.Namespace -}}
{{ default $default .Values.tls.internal.gatewayName }}
{{- end }}

{{- define "kandinsky.internalSecret" -}}
{{- if eq .root.Values.tls.internal.source "secrets" -}}
{{ get .root.Values.tls.internal.secrets .tier }}
{{- else -}}
{{ include "kandinsky.tierName" . }}-internal
{{- end -}}
{{- end }}

{{- define "kandinsky.publicSecret" -}}
{{- if eq .Values.tls.public.source "secret" -}}
{{ .Values.tls.public.secret }}
{{- else -}}
{{ include "kandinsky.fullname" . }}-public
{{- end -}}
{{- end }}
